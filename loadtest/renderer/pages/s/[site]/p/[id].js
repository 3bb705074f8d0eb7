// The page of a product: price, version, author, description, reviews, related products.
import Frame from "../../../../components/Frame";
import ProductList from "../../../../components/ProductList";
import Prose from "../../../../components/Prose";
import { author as authorOf, product as productOf } from "../../../../catalogue/catalogue.mjs";
import { paragraph, paragraphs, personName, sentence } from "../../../../catalogue/prose.mjs";
import { ids, shown, someOf } from "../../../../render/listing.mjs";
import { sitePage } from "../../../../render/page.mjs";

export default function Product({ frame, product, author, text, reviews, related }) {
  return (
    <Frame {...frame} heading={product.name}>
      <p>
        EUR <span data-testid="price">{product.price.toFixed(2)}</span>, version{" "}
        <span data-testid="version">{product.version}</span>, by{" "}
        <a href={`/s/${frame.site}/a/${author.id}`}><span data-testid="author">{author.name}</span></a>
      </p>
      <Prose paragraphs={text} />
      <h2>Reviews</h2>
      {reviews.map(({ by, stars, title, body }, index) => (
        <article key={index} className="review">
          <h3>{title}</h3>
          <p className="review__by">{`${by}, ${stars} of 5`}</p>
          <p className="review__body">{body}</p>
        </article>
      ))}
      <h2>Related</h2>
      <ProductList site={frame.site} products={related} />
    </Frame>
  );
}

export const getServerSideProps = sitePage("product", ({ site, params, random }) => {
  const found = productOf(params.id);
  if (found?.site !== site.id) {
    return null;
  }
  const { id, name } = authorOf(found.author);
  const related = someOf(site.products.filter((other) => other !== found), random.integer(4, 12), random);
  return {
    page: `product-${found.id}`,
    products: [found.id, ...ids(related)],
    authors: [id],
    props: {
      product: shown(found),
      author: { id, name },
      text: paragraphs(random, random.skewed(4, 22, 2)),
      reviews: Array.from({ length: random.skewed(0, 56, 3) }, () => review(random)),
      related,
    },
  };
});

function review(random) {
  return { by: personName(random), stars: random.integer(1, 5), title: sentence(random), body: paragraph(random) };
}
