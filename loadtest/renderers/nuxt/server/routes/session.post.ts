export default defineEventHandler(async (event) => {
  setCookie(event, 'session', String((await readBody(event)).user), { httpOnly: true });
  return sendRedirect(event, '/account', 303);
});
