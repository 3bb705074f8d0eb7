import { cookies } from 'next/headers';
import { Suspense } from 'react';

export default function Account() {
  return (
    <main>
      <h1 data-testid="title">Account</h1>
      <Suspense fallback={<p>…</p>}>
        <Name />
      </Suspense>
    </main>
  );
}

async function Name() {
  return <p data-testid="user">{(await cookies()).get('session')?.value}</p>;
}
