// Text that means nothing, in the sizes that real pages have: names, sentences, paragraphs, made from a generator.

export function productName(random) {
  return capitalised(`${random.pick(QUALITIES)} ${random.pick(MATERIALS)} ${random.pick(THINGS)}`);
}

export function personName(random) {
  return `${random.pick(GIVEN_NAMES)} ${random.pick(FAMILY_NAMES)}`;
}

export function sentence(random) {
  const words = Array.from({ length: random.integer(6, 16) }, () => random.pick(WORDS));
  return `${capitalised(words.join(" "))}.`;
}

export function paragraph(random) {
  return Array.from({ length: random.integer(2, 6) }, () => sentence(random)).join(" ");
}

export function paragraphs(random, count) {
  return Array.from({ length: count }, () => paragraph(random));
}

function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const QUALITIES = split("plain light heavy folding small large quiet bright dark smooth rough round tall low narrow wide");
const MATERIALS = split("oak birch steel brass linen wool glass cork paper clay copper leather cotton slate ash felt");
const THINGS = split("lamp chair table shelf bowl cup rug clock box stool mirror vase tray hook bench basket frame desk");
const GIVEN_NAMES = split("Ada Bela Cora Dario Edda Finn Greta Hugo Ines Jonas Kira Leon Mara Nils Olga Piet Runa Sven Tilda Vera");
const FAMILY_NAMES = split("Abel Brandt Costa Dahl Eriksen Falk Grau Holm Iversen Jung Kern Lund Moser Nagel Ott Pohl");
const WORDS = split(`a and the of in with for to from by on at is was made kept found used held left right first last one two
  many few each every hand wood metal cloth stone colour light shadow edge surface corner house room wall floor door window
  garden street morning evening winter summer year day hour work shop maker table drawer shelf paper letter line shape form
  weight balance detail joint grain finish oil wax thread needle hammer plane saw bench tool simple careful slow quick old new
  warm cold soft hard thin thick open closed clear deep even fine strong gentle steady useful quiet long short`);

function split(text) {
  return text.split(/\s+/);
}
