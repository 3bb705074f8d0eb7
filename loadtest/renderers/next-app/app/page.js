import Link from 'next/link';

export default function Home() {
  return (
    <main>
      <h1 data-testid="title">Home</h1>
      {[1, 2, 3, 4, 5].map((id) => (
        <Link key={id} href={`/p/${id}`} data-testid={`product-${id}`}>product {id}</Link>
      ))}
      <Link href="/photo/1" data-testid="photo">photo</Link>
      <Link href="/ppr/1" data-testid="ppr">personal</Link>
    </main>
  );
}
