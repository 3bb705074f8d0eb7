// The application around all pages: only the style sheet.
import "../components/style.css";

export default function App({ Component, pageProps }) {
  return <Component {...pageProps} />;
}
