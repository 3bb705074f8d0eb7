// The page of an author: who it is, and the newest products.
import Frame from "../../../../components/Frame";
import ProductList from "../../../../components/ProductList";
import Prose from "../../../../components/Prose";
import { author as authorOf } from "../../../../catalogue/catalogue.mjs";
import { paragraphs } from "../../../../catalogue/prose.mjs";
import { ids, shown } from "../../../../render/listing.mjs";
import { sitePage } from "../../../../render/page.mjs";

export default function Author({ frame, author, products, text }) {
  return (
    <Frame {...frame} heading={author.name}>
      <span data-testid="author">{author.name}</span>
      <Prose paragraphs={text} />
      <ProductList site={frame.site} products={products} />
    </Frame>
  );
}

export const getServerSideProps = sitePage("author", ({ site, params, random }) => {
  const author = authorOf(params.author);
  if (author?.site !== site.id) {
    return null;
  }
  const { id, name } = author;
  const products = site.products.filter((product) => product.author === id).slice(-PRODUCTS_MAX).reverse().map(shown);
  return {
    page: `author-${id}`,
    products: ids(products),
    authors: [id],
    props: { author: { id, name }, products, text: paragraphs(random, random.integer(3, 12)) },
  };
});

const PRODUCTS_MAX = 48;
