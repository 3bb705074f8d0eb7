// A list of products: cards with price and version, so that a test can see how old a list is.
export default function ProductList({ site, products }) {
  return (
    <ul className="products">
      {products.map(({ id, name, category, price, version }) => (
        <li key={id} className="products__card" data-product={id} data-version={version} data-price={price.toFixed(2)}>
          <a href={`/s/${site}/p/${id}`} className="products__name">{name}</a>
          <p className="products__category">{category}</p>
          <p className="products__price">{`EUR ${price.toFixed(2)}`}</p>
        </li>
      ))}
    </ul>
  );
}
