// Paragraphs of text.
export default function Prose({ paragraphs }) {
  return paragraphs.map((text, index) => (
    <p key={index} className="prose">{text}</p>
  ));
}
