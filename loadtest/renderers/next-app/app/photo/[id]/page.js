export const generateStaticParams = () => [{ id: '1' }];

export default async function Photo({ params }) {
  return <main><h1 data-testid="title">Photo {(await params).id}</h1></main>;
}
