// The list of a category: its newest products.
import Frame from "../../../../components/Frame";
import ProductList from "../../../../components/ProductList";
import Prose from "../../../../components/Prose";
import { paragraphs } from "../../../../catalogue/prose.mjs";
import { ids, shown } from "../../../../render/listing.mjs";
import { sitePage } from "../../../../render/page.mjs";

export default function Category({ frame, category, products, text }) {
  return (
    <Frame {...frame} heading={`All ${category}`}>
      <Prose paragraphs={text} />
      <ProductList site={frame.site} products={products} />
    </Frame>
  );
}

export const getServerSideProps = sitePage("category", ({ site, params: { category }, random }) => {
  if (!site.categories.includes(category)) {
    return null;
  }
  const all = site.products.filter((product) => product.category === category);
  const products = all.slice(-PRODUCTS_MAX).reverse().map(shown);
  return {
    page: `category-${site.id}-${category}`,
    products: ids(products),
    authors: [],
    props: { category, products, text: paragraphs(random, 2) },
  };
});

const PRODUCTS_MAX = 96;
