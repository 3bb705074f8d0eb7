// Elements from data. Text is only ever set as text: nothing that a client or an origin has sent is read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "rect", "line", "circle", "text", "title"]);

/** Makes an element: `h("p.note", {id: "a"}, "text", child)`. */
export function h(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element[key] = value;
    else if (key === "width%") element.style.width = `${value}%`;
    else if (key === "class") element.setAttribute("class", [...classes, value].join(" ").trim());
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

/** Makes `old` look like `fresh`, keeping what stays: focus, selection, scroll positions, what somebody types. */
export function morph(old, fresh) {
  const keep = old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);
  if (!keep) {
    old.replaceWith(fresh);
    return fresh;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return old;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  // The content security policy forbids style attributes; properties are set instead.
  for (const { name, value } of fresh.attributes) if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (fresh.hasAttribute("style") && old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  for (const event of EVENTS) if (old[event] !== fresh[event]) old[event] = fresh[event];
  morphChildren(old, [...fresh.childNodes]);
  return old;
}

/** Gives an element these children, the way `morph` does. */
export function show(parent, ...children) {
  const holder = document.createDocumentFragment();
  holder.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  morphChildren(parent, [...holder.childNodes]);
}

function morphChildren(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  fresh.forEach((child, place) => {
    const there = parent.childNodes[place];
    const same = keyOf(child) && keyed.get(keyOf(child));
    if (same && same !== there) parent.insertBefore(same, there ?? null);
    const old = parent.childNodes[place];
    if (old) morph(old, child);
    else parent.append(child);
  });
  while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}

const keyOf = node => node.dataset?.key;
const EVENTS = ["onclick", "onsubmit", "oninput", "onchange", "onpointermove", "onpointerleave", "onkeydown"];
