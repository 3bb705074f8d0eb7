const prices = new Map();
let renders = 0;

export const price = (id) => prices.get(id) ?? 100 + Number(id);

export function raisePrice(id) {
  prices.set(id, price(id) + 1);
  return price(id);
}

export const nextRender = () => ++renders;

export const cached = { 'cache-control': 'public, s-maxage=600, stale-while-revalidate=3600' };

export function cookie(request, name) {
  const cookies = (request.headers.get('cookie') ?? '').split('; ');
  return cookies.find((own) => own.startsWith(`${name}=`))?.slice(name.length + 1);
}
