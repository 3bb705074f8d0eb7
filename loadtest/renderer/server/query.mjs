// Parameters of a query, checked. A request with a bad one is refused: a test that asks for nonsense should see it.

/** Returns the parameter as an integer in low..=high, the fallback if it is absent, undefined if it is neither. */
export function integer(parameters, name, fallback, low, high) {
  const text = parameters.get(name);
  if (text === null) {
    return fallback;
  }
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  return value >= low && value <= high ? value : undefined;
}

/** Returns the parameter if it can be a part of a tag, "0" if it is absent, undefined if it is neither. */
export function tagPart(parameters, name) {
  const text = parameters.get(name) ?? "0";
  return /^[A-Za-z0-9_-]{1,64}$/.test(text) ? text : undefined;
}
