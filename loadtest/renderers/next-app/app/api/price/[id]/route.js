import { revalidateTag } from 'next/cache';
import { raisePrice } from '../../../../shop.mjs';

export async function POST(_request, { params }) {
  const { id } = await params;
  revalidateTag(`product-${id}`, { expire: 0 });
  return Response.json({ price: raisePrice(id) });
}
