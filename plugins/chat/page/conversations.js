// The list of my channels, and the heading of the conversation that is open.

import { find, icon, make, reconcile } from "./dom.js";
import { clean } from "./names.js";
import { hrefOf } from "./routes.js";
import { badge, called, PRESENCE, unread } from "./rows.js";
import { EVERYONE } from "./store.js";

const POLICIES = { open: "open to all", password: "with a password", invited: "by invitation" };
const SIGNS = { password: "key", invited: "letter" };

const byTitle = (a, b) => (a.id === EVERYONE) - (b.id === EVERYONE) || a.title.localeCompare(b.title);

export class ChannelList {
  constructor(store) {
    this.store = store;
    this.place = find("channels");
    store.subscribe(["conversations"], () => this.show());
  }

  show() {
    const channels = [...this.store.conversations.values()].filter(({ peer }) => peer === "").sort(byTitle);
    const items = channels.map((channel) => {
      const isCurrent = channel.id === this.store.current;
      const look = JSON.stringify([channel.title, channel.unread, channel.policy, isCurrent]);
      return { key: channel.id, look, build: () => this.row(channel, isCurrent) };
    });
    const none = {
      key: "",
      look: "",
      build: () => make("li", { class: "hint" }, "None yet. Join one, or start one of your own."),
    };
    reconcile(this.place, items.some(({ key }) => key.startsWith("#")) ? items : [none, ...items]);
  }

  row({ id, title, unread: count, policy }, isCurrent) {
    const sign = id === EVERYONE ? "everyone" : (SIGNS[policy] ?? "channel");
    const link = make(
      "a",
      { class: `row${unread(count)}`, href: hrefOf(id), "aria-current": isCurrent ? "page" : null },
      icon(sign),
      make("bdi", { class: "name" }, clean(nameOf(id, title))),
      badge(count),
    );
    return make("li", {}, link);
  }
}

// A channel's title may come with its sign.
const nameOf = (id, title) => (id.startsWith("#") && title === id ? title.slice(1) : title);

export class Heading {
  // `acts`: {members, channel(id), person(id)}, which open what their names say.
  constructor(store, acts) {
    Object.assign(this, { store, acts, place: find("head"), shown: null });
    store.subscribe(["conversations", "people"], () => this.show());
  }

  show() {
    const { store } = this;
    const conversation = store.conversations.get(store.current);
    const look = conversation === undefined ? "" : JSON.stringify(this.words(conversation));
    if (look === this.shown) return;
    const hadFocus = this.place.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
    this.shown = look;
    this.place.replaceChildren(...(conversation === undefined ? this.nothing() : this.parts(conversation)));
    if (hadFocus !== undefined) this.place.querySelector(`[data-act="${hadFocus}"]`)?.focus();
  }

  nothing() {
    return [make("h1", { class: "unseen", id: "title", tabindex: "-1" }, "No conversation")];
  }

  parts(conversation) {
    const { title, about, person } = this.words(conversation);
    const heading = make(
      "h1",
      { id: "title", tabindex: "-1" },
      person === null ? make("bdi", {}, title) : called(person, this.store),
    );
    const back = make(
      "a",
      { class: "round back", href: "#", "aria-label": "Back to all conversations", "data-act": "back" },
      icon("back"),
    );
    return [
      back,
      make("div", { class: "what" }, heading, make("p", { class: "about", dir: "auto" }, about)),
      ...this.buttons(conversation),
    ];
  }

  buttons({ id, isChannel, peer }) {
    const round = (act, label, picture, onclick) =>
      make(
        "button",
        { class: "round", type: "button", "aria-label": label, "data-act": act, onclick },
        icon(picture),
      );
    if (isChannel) {
      return [
        round("members", "Members", "people", this.acts.members),
        round("channel", "Channel settings", "more", () => this.acts.channel(id)),
      ];
    }
    return peer === "" ? [] : [round("person", "About this person", "more", () => this.acts.person(peer))];
  }

  words({ id, title, isChannel, members, policy, peer }) {
    if (peer !== "") {
      const person = this.store.people.get(peer) ?? {
        id: peer,
        name: title,
        state: "offline",
        guest: false,
        muted: false,
      };
      return { title, person, about: aboutPerson(person) };
    }
    if (!isChannel)
      return { title, person: null, about: "To all who are connected to you, whatever channels they are in." };
    const here = members.filter(
      (member) => member === this.store.me?.id || this.store.people.get(member)?.state === "here",
    ).length;
    const count = members.length === 1 ? "1 member" : `${members.length} members`;
    return {
      title: `#${clean(nameOf(id, title)).replace(/^#/, "")}`,
      person: null,
      about: [count, `${here} here`, ...(policy ? [POLICIES[policy]] : [])].join(" · "),
    };
  }
}

export function aboutPerson({ state, why }) {
  const words = PRESENCE[state] ?? PRESENCE.offline;
  return why && state !== "here" && state !== "away" ? `${words} · ${why}` : words;
}
