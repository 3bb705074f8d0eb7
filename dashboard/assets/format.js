// Numbers for people. What there is no value for is a dash, never NaN and never a zero that nobody measured.

export const NONE = "–";
const is = value => typeof value === "number" && Number.isFinite(value);

/** 1234.5 → "1,235"; 3.21 → "3.2"; 0.04 → "0.04". */
export function number(value) {
  if (!is(value)) return NONE;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 || Number.isInteger(value) ? 0 : size >= 1 ? 1 : 2;
  if (size > 0 && size < 0.005) return "< 0.01";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Whole numbers, with large ones shortened: 1,234,567 → "1.23 M". */
export function count(value) {
  if (!is(value)) return NONE;
  if (Math.abs(value) >= 1e9) return `${(value / 1e9).toFixed(2)} G`;
  if (Math.abs(value) >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  return Math.round(value).toLocaleString("en-US");
}

/** A share as a percentage: 0.93123 → "93.1". 100 is said only of a whole. */
export function percent(value) {
  if (!is(value)) return NONE;
  if (value > 0.999 && value < 1) return (Math.floor(value * 1e4) / 100).toFixed(2);
  return (value * 100).toFixed(1);
}

/** Seconds in the unit that suits: ["0.08", "ms"]. */
export function seconds(value) {
  if (!is(value)) return [NONE, ""];
  if (value === 0) return ["0", "ms"];
  if (value < 0.001) return [digits(value * 1e6), "µs"];
  if (value < 1) return [digits(value * 1e3), "ms"];
  if (value < 120) return [digits(value), "s"];
  return [duration(value), ""];
}
export const secondsText = value => seconds(value).join(" ").trim();
const digits = value => value.toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 1 : 0 });

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
export function bytes(value) {
  if (!is(value)) return [NONE, ""];
  let unit = 0;
  for (; Math.abs(value) >= 1000 && unit < UNITS.length - 1; unit += 1) value /= 1000;
  return [value.toLocaleString("en-US", { maximumFractionDigits: unit && value < 100 ? 1 : 0 }), UNITS[unit]];
}
export const bytesText = value => bytes(value).join(" ").trim();

/** A span of time in its two largest units: "3 d 4 h". */
export function duration(value) {
  if (!is(value) || value < 0) return NONE;
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => value >= size);
  if (first < 0) return "0 s";
  let rest = Math.floor(value);
  const said = [];
  for (const [size, name] of parts.slice(first, first + 2)) {
    if (Math.floor(rest / size) > 0) said.push(`${Math.floor(rest / size)} ${name}`);
    rest %= size;
  }
  return said.join(" ");
}

/** "14:02:31" in the reader's time zone, or with the date if it is another day. */
export function clock(text, now = Date.now()) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return NONE;
  const time = at.toLocaleTimeString("en-GB");
  const isToday = new Date(now).toDateString() === at.toDateString();
  return isToday ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

/** "1 response", "2 responses". */
export const plural = (value, one, more = `${one}s`) => `${count(value)} ${value === 1 ? one : more}`;
