// Words that belong to no conversation. Good news goes by itself; an error stays until it is put away.

import { find, icon, make } from "./dom.js";

const MOST = 4;
const READING = 8000; // ms
const SAID = 20; // announcements kept in the page: a screen reader reads what is added, and nobody looks

export function notice(text, level = "info") {
  const place = find("notices");
  const same = [...place.children].find((one) => one.dataset.text === text);
  same?.remove();
  const close = make("button", { class: "round", type: "button", "aria-label": "Put away" }, icon("close"));
  const words = make("p", { dir: "auto", role: level === "error" ? "alert" : "status" });
  const made = make(
    "div",
    { class: `notice ${level === "error" ? "error" : "info"}`, "data-text": text },
    words,
    close,
  );
  close.addEventListener("click", () => made.remove());
  place.append(made);
  words.textContent = text; // after it is in the page, or screen readers would not hear it
  while (place.children.length > MOST) place.firstChild.remove();
  if (level !== "error") setTimeout(() => made.remove(), READING);
}

// For the ears only.
export function announce(text) {
  const place = find("announcer");
  place.append(make("p", {}, text));
  while (place.children.length > SAID) place.firstChild.remove();
}
