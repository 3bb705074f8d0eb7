'use client';
import { useActionState } from 'react';
import { likeProduct } from './actions';

export function Like({ id }) {
  const [likes, act] = useActionState(likeProduct.bind(null, id), 0);
  return (
    <form action={act}>
      <button data-testid="like">like</button>
      <output data-testid="likes">{likes}</output>
    </form>
  );
}
