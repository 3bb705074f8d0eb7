import { json } from '@sveltejs/kit';
import { raisePrice } from '../../../../lib/shop.server.js';

export function POST({ params }) {
  return json({ price: raisePrice(params.id) });
}
