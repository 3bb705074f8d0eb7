export default defineEventHandler((event) => ({ name: getCookie(event, 'session') ?? null }));
