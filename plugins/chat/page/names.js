// Names as strangers give them. In the page each stands in a <bdi>, which keeps its writing direction to itself; where
// there is only plain text (a title, a label, a desktop notification) it is wrapped and cleaned here.

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
const HUES = 6;

// Without characters that turn, hide or end a line; never empty.
export const clean = (name) => name.replace(UNSEEN, "").trim() || "(no name)";

// Equal for names that a reader could take for each other: capitals, width, spaces and the mark of guests aside.
export const alike = (name) =>
  clean(name)
    .normalize("NFKC")
    .toLowerCase()
    .replace(/\s+/gu, "")
    .replace(/\(guest\)$/u, "");

// Between FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE, only where something in it is written right to left.
export function isolated(name) {
  const text = clean(name);
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u.test(text)
    ? `\u2068${text}\u2069`
    : text;
}

// One or two letters for the round picture beside a message.
export function initials(name) {
  const words = clean(name)
    .split(/[\s._-]+/u)
    .filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0].toLocaleUpperCase()).join("") || "?";
}

// The same colour for the same peer on every page and day.
export function hue(id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 65521;
  return sum % HUES;
}

// 128 random bits. crypto.randomUUID is missing on plain http; getRandomValues is everywhere.
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}
