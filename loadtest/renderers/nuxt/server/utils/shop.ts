const prices = new Map<string, number>();

export const price = (id: string) => prices.get(id) ?? 100 + Number(id);

export function raisePrice(id: string) {
  prices.set(id, price(id) + 1);
  return price(id);
}
