// What surrounds every page of a site: head, navigation, footer.
import Head from "next/head";

export default function Frame({ site, title, categories, heading, children }) {
  return (
    <>
      <Head>
        <title>{`${heading} - ${title}`}</title>
        <meta name="description" content={`${heading}: things for the home, from ${title}.`} />
        <meta property="og:title" content={heading} />
        <meta property="og:site_name" content={title} />
      </Head>
      <header className="frame">
        <a href={`/s/${site}/`} className="frame__title" data-testid="site">{title}</a>
        <nav className="frame__navigation" aria-label="Categories">
          <ul>
            {categories.map((category) => (
              <li key={category} className="frame__link">
                <a href={`/s/${site}/c/${category}`}>{category}</a>
              </li>
            ))}
          </ul>
        </nav>
      </header>
      <main>
        <h1>{heading}</h1>
        {children}
      </main>
      <footer className="frame">
        <ul>
          {PROMISES.map(([name, text]) => (
            <li key={name} className="frame__promise">
              <strong>{name}</strong>
              <p>{text}</p>
            </li>
          ))}
        </ul>
      </footer>
    </>
  );
}

const PROMISES = [
  ["Delivery", "Parcels leave the house on the day of the order when it comes in before noon, and on the next day otherwise."],
  ["Returns", "Whatever does not fit may come back within thirty days, without a reason and without its box."],
  ["Repairs", "Every thing we sell can be repaired. Write to us with a picture of what broke, and we say what it takes."],
  ["Materials", "We say where the wood was cut, where the wool was spun and who did it, for each thing that we make."],
  ["Service", "People answer the telephone from nine to five. They know the things, because they have them at home."],
];
