// Addresses in what people write. Only http and https, only what the browser's own parser takes, and never more of the
// text around than the address: "(see http://a.example/b)." is a link to http://a.example/b.

const START = /\bhttps?:\/\//giu;
// An address ends at white space, at quotes and brackets that no address has as they are, and at invisible
// characters that turn or hide text: with them, what is read would not be where it goes.
const END =
  /[\s<>"`{}|\\^\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;
const LAST = /[.,;:!?'*_~…。、，！？；：”“’‘»«›‹]$/u;
const PAIRS = { ")": "(", "]": "[", "）": "（", "】": "【", "」": "「" };
const LONGEST = 2000; // no server of note takes more, and nobody reads it

// The text in pieces: {text} or {text, href}. Joined, the pieces are the text.
export function linked(text) {
  const pieces = [];
  let done = 0;
  for (const { index } of text.matchAll(START)) {
    if (index < done) continue;
    const found = addressAt(text, index);
    if (found === null) continue;
    if (index > done) pieces.push({ text: text.slice(done, index) });
    pieces.push(found);
    done = index + found.text.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done) });
  return pieces;
}

function addressAt(text, start) {
  const rest = text.slice(start, start + LONGEST + 1);
  const stop = rest.search(END);
  const address = trimmed(stop < 0 ? rest : rest.slice(0, stop));
  if (address.length > LONGEST) return null;
  const url = URL.parse?.(address) ?? parsed(address);
  const safe = url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "";
  // "http://bank.example@evil.example/" is read as the bank: a name in front of the host makes it plain text.
  return safe && url.username === "" && url.password === "" ? { text: address, href: url.href } : null;
}

// Without the marks that belong to the sentence, and without a bracket that was opened before the address.
function trimmed(address) {
  for (;;) {
    const last = address.slice(-1);
    if (LAST.test(address)) address = address.slice(0, -1);
    else if (last in PAIRS && count(address, last) > count(address, PAIRS[last])) address = address.slice(0, -1);
    else return address;
  }
}

const count = (text, character) => text.split(character).length - 1;

function parsed(address) {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}
