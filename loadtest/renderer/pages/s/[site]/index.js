// The home of a site: a selection of its products, its authors, an editorial.
import Frame from "../../../components/Frame";
import ProductList from "../../../components/ProductList";
import Prose from "../../../components/Prose";
import { paragraphs } from "../../../catalogue/prose.mjs";
import { ids, someOf } from "../../../render/listing.mjs";
import { sitePage } from "../../../render/page.mjs";

export default function Home({ frame, products, authors, text }) {
  return (
    <Frame {...frame} heading="Welcome">
      <Prose paragraphs={text} />
      <ProductList site={frame.site} products={products} />
      <ul>
        {authors.map(({ id, name }) => (
          <li key={id}>
            <a href={`/s/${frame.site}/a/${id}`}>{name}</a>
          </li>
        ))}
      </ul>
    </Frame>
  );
}

export const getServerSideProps = sitePage("home", ({ site, random }) => {
  const products = someOf(site.products, 36, random);
  const authors = site.authors.map(({ id, name }) => ({ id, name }));
  return {
    page: `home-${site.id}`,
    products: ids(products),
    authors: ids(authors),
    props: { products, authors, text: paragraphs(random, 8) },
  };
});
