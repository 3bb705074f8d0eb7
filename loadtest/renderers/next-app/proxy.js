import { NextResponse } from 'next/server';

// Closed without a session, and a path that is another name of the products.
export function proxy(request) {
  const { pathname } = request.nextUrl;
  if (pathname.startsWith('/account') && !request.cookies.has('session')) {
    return NextResponse.redirect(new URL('/login', request.url));
  }
  if (pathname.startsWith('/product/')) {
    return NextResponse.rewrite(new URL(pathname.replace('/product/', '/p/'), request.url));
  }
  return NextResponse.next();
}

export const config = { matcher: ['/account/:path*', '/product/:path*'] };
