import { raisePrice } from '../shop.server.js';

export const action = ({ params }) => Response.json({ price: raisePrice(params.id) });
