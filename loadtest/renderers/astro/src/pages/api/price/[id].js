import { raisePrice } from '../../../shop.js';

export const POST = ({ params }) => Response.json({ price: raisePrice(params.id) });
