export default defineEventHandler((event) => {
  const id = getRouterParam(event, 'id')!;
  const draft = getCookie(event, 'preview') ? 'draft' : 'published';
  const { deployment } = useRuntimeConfig().public;
  return { price: price(id), draft, deployment };
});
