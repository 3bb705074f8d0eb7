import { useEffect, useState } from 'react';
import { Link, Links, Meta, Outlet, Scripts, ScrollRestoration } from 'react-router';

export default function Root() {
  const [running, setRunning] = useState('');
  useEffect(() => setRunning(__DEPLOYMENT__), []);
  return (
    <html lang="en">
      <head>
        <Meta />
        <Links />
      </head>
      <body>
        <nav>
          <Link to="/" data-testid="home">home</Link>
          <Link to="/search?q=tea" data-testid="search" prefetch="render">tea</Link>
          <Link to="/account" data-testid="account">account</Link>
        </nav>
        <Outlet />
        <footer data-testid="running">{running}</footer>
        <ScrollRestoration />
        <Scripts />
      </body>
    </html>
  );
}
