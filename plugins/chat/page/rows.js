// The rows of the lists: a conversation, a person. Numbers and states are said in words as well as drawn.

import { icon, make } from "./dom.js";
import { clean, hue, initials } from "./names.js";

// Who is listed and not linked may be there or not.
export const PRESENCE = {
  here: "here",
  listed: "reachable",
  away: "away",
  connecting: "connecting",
  offline: "offline",
};
const MOST_SHOWN = 99;

export function badge(unread) {
  if (unread === 0) return null;
  const shown = unread > MOST_SHOWN ? `${MOST_SHOWN}+` : `${unread}`;
  return make("span", { class: "badge" }, shown, make("span", { class: "unseen" }, " unread"));
}

export function face({ id, name, state }, small = false) {
  const made = make(
    "span",
    { class: `face hue${hue(id)}${small ? " small" : ""}`, "aria-hidden": "true" },
    initials(name),
  );
  if (state !== undefined) made.append(make("span", { class: `presence ${state}` }));
  return made;
}

// The name with what is needed to know whose it is.
export function called(person, store) {
  const { id, name, guest = false, muted = false } = person;
  return make(
    "span",
    { class: "called" },
    make("bdi", { class: "name" }, clean(name)),
    store.isAmbiguous(name) ? make("span", { class: "id" }, id) : null,
    guest ? make("span", { class: "tag" }, "guest") : null,
    muted ? make("span", { class: "tag" }, icon("muted"), "muted") : null,
  );
}

export const unread = (count) => (count > 0 ? " has-unread" : "");
