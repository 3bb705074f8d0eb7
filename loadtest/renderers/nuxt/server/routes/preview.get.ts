export default defineEventHandler((event) => {
  const { off, to } = getQuery(event);
  off === undefined ? setCookie(event, 'preview', '1') : deleteCookie(event, 'preview');
  return sendRedirect(event, String(to ?? '/'), 307);
});
