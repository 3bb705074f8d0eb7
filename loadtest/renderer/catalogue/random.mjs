// A small seeded random number generator (mulberry32): the same seed text gives the same numbers on every machine.
// Not for secrets.

/** Returns a generator; its functions advance it. */
export function seeded(text) {
  let state = hash(text);

  /** Returns a number in 0..1, 1 excluded. */
  function fraction() {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  return {
    fraction,
    /** Returns an integer in low..=high. */
    integer: (low, high) => low + Math.floor(fraction() * (high - low + 1)),
    /** Returns an integer in low..=high; small ones are common, large ones rare (the larger `skew`, the rarer). */
    skewed: (low, high, skew) => low + Math.floor(fraction() ** skew * (high - low + 1)),
    pick: (list) => list[Math.floor(fraction() * list.length)],
  };
}

/** Returns the 32-bit FNV-1a hash of a text of ASCII characters. */
function hash(text) {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value;
}
