import { draftMode } from 'next/headers';

export async function GET(request) {
  const { searchParams } = new URL(request.url);
  const draft = await draftMode();
  searchParams.has('off') ? draft.disable() : draft.enable();
  return new Response(null, { status: 307, headers: { location: searchParams.get('to') ?? '/' } });
}
