export const generateStaticParams = () => [{ id: '1' }];

export default async function Overlay({ params }) {
  return <dialog open data-testid="overlay">Photo {(await params).id}</dialog>;
}
