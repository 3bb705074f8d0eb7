import { cacheLife, cacheTag } from 'next/cache';
import { draftMode } from 'next/headers';
import Image from 'next/image';
import Link from 'next/link';
import { Like } from './like';
import { nextRender, price } from '../../../shop.mjs';

export const generateStaticParams = () => [{ id: '1' }];

export default async function Product({ params }) {
  'use cache';
  const { id } = await params;
  cacheLife({ stale: 30, revalidate: 600, expire: 3600 });
  cacheTag(`product-${id}`);
  const { isEnabled } = await draftMode();
  return (
    <main>
      <h1 data-testid="title">Product {id}</h1>
      <p>Price <b data-testid="price">{price(id)}</b></p>
      <p data-testid="draft">{isEnabled ? 'draft' : 'published'}</p>
      <p data-testid="render">{nextRender()}</p>
      <p data-testid="deployment">{process.env.DEPLOYMENT}</p>
      <Image src="/pictures/tea.png" alt="tea" width={64} height={64} loading="eager" />
      <Like id={id} />
      <Link href={`/p/${(Number(id) % 5) + 1}`} data-testid="next">next product</Link>
    </main>
  );
}
