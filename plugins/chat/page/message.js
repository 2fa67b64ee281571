// One message as it is shown. Whatever a person has written is put in as text; only its links become elements.

import { delivery, recipients } from "./delivery.js";
import { icon, make } from "./dom.js";
import { linked } from "./links.js";
import { clean } from "./names.js";
import { called, face } from "./rows.js";
import { clockTime, exactTime, language } from "./time.js";

// `shown` is {key, mine, person, at, text, state, entry, isFirst}: `entry` is the outbox's where the server has no
// message yet; `isFirst` begins a run of messages by one person. `store` knows names, `acts` are {again, discard}.
export function messageRow(shown, store, acts) {
  const { key, mine, person, isFirst } = shown;
  const row = make("li", {
    class: `message${mine ? " mine" : ""}${isFirst ? " first" : ""}`,
    tabindex: "-1",
    "data-key": key,
  });
  if (!mine) row.append(isFirst ? face(person) : make("span", { class: "face gap", "aria-hidden": "true" }));
  row.append(
    make("div", { class: "body" }, author(shown, store), bubble(shown), mine ? details(shown, store, acts) : null),
  );
  return row;
}

// Said to screen readers for each message, and to the eye for the first of a run.
function author({ mine, person, isFirst }, store) {
  return make("p", { class: mine || !isFirst ? "unseen" : "author" }, mine ? "You:" : called(person, store));
}

function bubble({ at, text, mine, state, entry }) {
  const time = make("time", { datetime: at.toISOString(), title: exactTime(at), lang: language }, clockTime(at));
  return make(
    "div",
    { class: "bubble" },
    make("div", { class: "text", dir: "auto" }, ...linked(text).map(piece)),
    make("p", { class: "foot" }, time, mine ? sign(state, entry) : null),
  );
}

function piece({ text, href }) {
  return href === undefined
    ? text
    : make("a", { href, target: "_blank", rel: "noopener noreferrer", title: href === text ? null : href }, text);
}

// The words are always there. A press tells of each recipient.
function sign(state, entry) {
  const {
    sign: picture,
    short,
    isWrong,
  } = entry?.state === "refused" ? { sign: "wrong", short: "Not sent", isWrong: true } : delivery(state);
  const press = (event) => toggleDetails(event.currentTarget.closest(".message"));
  return make(
    "button",
    {
      class: `sign${isWrong ? " bad" : ""}`,
      type: "button",
      tabindex: "-1",
      "aria-expanded": "false",
      onclick: press,
    },
    short,
    icon(picture),
  );
}

function details({ state, entry, key }, store, acts) {
  if (entry?.state === "refused") return refusal(entry, key, acts);
  const nameOf = (id) => store.people.get(id)?.name ?? id;
  const lines = recipients(state, nameOf).map((line) => make("li", {}, line));
  const made = make("div", { class: "details", hidden: true }, make("p", {}, delivery(state).long));
  if (lines.length > 0) made.append(make("ul", {}, ...lines));
  return made;
}

function refusal({ reason }, key, { again, discard }) {
  return make(
    "div",
    { class: "details bad" },
    make("p", { dir: "auto" }, clean(reason)),
    make("button", { class: "link", type: "button", onclick: () => again(key) }, "Try again"),
    make("button", { class: "link", type: "button", onclick: () => discard(key) }, "Discard"),
  );
}

export function toggleDetails(row) {
  const details = row.querySelector(".details:not(.bad)");
  if (details === null) return;
  details.hidden = !details.hidden;
  row.querySelector(".sign").setAttribute("aria-expanded", String(!details.hidden));
}
