export default defineEventHandler((event) => ({ price: raisePrice(getRouterParam(event, 'id')!) }));
