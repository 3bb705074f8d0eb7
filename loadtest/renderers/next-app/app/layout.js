import Link from 'next/link';
import { Clock } from './clock';

export const metadata = { title: 'Shop' };

export default function Layout({ children, modal }) {
  return (
    <html lang="en">
      <body>
        <nav>
          <Link href="/" data-testid="home">home</Link>
          <Link href="/search?q=tea" data-testid="search">tea</Link>
          <Link href="/account" data-testid="account" prefetch={false}>account</Link>
        </nav>
        {children}
        {modal}
        <Clock />
      </body>
    </html>
  );
}
