import Link from 'next/link';
import { Suspense } from 'react';

export default function Search({ searchParams }) {
  return (
    <Suspense fallback={<p>…</p>}>
      <Found searchParams={searchParams} />
    </Suspense>
  );
}

async function Found({ searchParams }) {
  const { q } = await searchParams;
  return (
    <main>
      <h1 data-testid="title">Search {q}</h1>
      <Link href="/search?q=milk" data-testid="other-search">milk</Link>
    </main>
  );
}
