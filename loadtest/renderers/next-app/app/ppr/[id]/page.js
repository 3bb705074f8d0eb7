import { cookies } from 'next/headers';
import { Suspense } from 'react';

export const generateStaticParams = () => [{ id: '1' }];

export default async function Personal({ params }) {
  const { id } = await params;
  return (
    <main>
      <h1 data-testid="title">Personal {id}</h1>
      <Suspense fallback={<p>…</p>}>
        <Visitor />
      </Suspense>
    </main>
  );
}

async function Visitor() {
  const session = (await cookies()).get('session');
  return <p data-testid="visitor">{session?.value ?? 'nobody'}</p>;
}
