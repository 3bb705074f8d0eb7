'use server';
import { like } from '../../../shop.mjs';

export async function likeProduct() {
  return like();
}
