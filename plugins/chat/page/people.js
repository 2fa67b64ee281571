// The list of people, each of whom is a direct conversation; and the members of the channel that is open.

import { find, icon, make, reconcile } from "./dom.js";
import { clean } from "./names.js";
import { hrefOf } from "./routes.js";
import { badge, called, face, PRESENCE, unread } from "./rows.js";

const RANK = { here: 0, listed: 1, away: 2, connecting: 3, offline: 4 };

const byPresence = (a, b) =>
  RANK[a.state] - RANK[b.state] || clean(a.name).localeCompare(clean(b.name)) || (a.id < b.id ? -1 : 1);

const lookOf = (person, store, ...more) =>
  JSON.stringify([person.name, person.state, person.guest, person.muted, store.isAmbiguous(person.name), ...more]);

export class PeopleList {
  constructor(store) {
    Object.assign(this, { store, place: find("people") });
    store.subscribe(["people", "conversations"], () => this.show());
  }

  show() {
    const { store } = this;
    const items = this.all().map((person) => {
      const count = store.conversations.get(`@${person.id}`)?.unread ?? 0;
      const isCurrent = store.current === `@${person.id}`;
      return {
        key: person.id,
        look: lookOf(person, store, count, isCurrent),
        build: () => this.row(person, count, isCurrent),
      };
    });
    const none = { key: "", look: "", build: () => make("li", { class: "hint" }, "Nobody else is here yet.") };
    reconcile(this.place, items.length > 0 ? items : [none]);
  }

  // Also those whom I have written with, and whom nobody lists any more.
  all() {
    const { people, conversations, me } = this.store;
    const found = [...people.values()].filter(({ id }) => id !== me?.id);
    for (const { peer, title } of conversations.values()) {
      if (peer !== "" && !people.has(peer))
        found.push({ id: peer, name: title, state: "offline", guest: false, muted: false });
    }
    return found.sort(byPresence);
  }

  row(person, count, isCurrent) {
    const link = make(
      "a",
      {
        class: `row person ${person.state}${unread(count)}`,
        href: hrefOf(`@${person.id}`),
        "aria-current": isCurrent ? "page" : null,
      },
      face(person),
      called(person, this.store),
      make("span", { class: "state" }, PRESENCE[person.state]),
      badge(count),
    );
    return make("li", {}, link);
  }
}

export class Members {
  // `open(id)` shows the person.
  constructor(store, open) {
    Object.assign(this, { store, open, place: find("members"), rows: find("member-rows"), isWanted: false });
    find("members-close").addEventListener("click", () => this.toggle(false));
    this.place.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation(); // it is not meant for the messages
      this.toggle(false);
    });
    store.subscribe(["people", "conversations"], () => this.show());
  }

  toggle(isWanted = !this.isWanted) {
    const hadFocus = this.place.contains(document.activeElement);
    this.isWanted = isWanted;
    this.show();
    if (isWanted) find("members-close").focus();
    else if (hadFocus) document.querySelector('[data-act="members"]')?.focus();
  }

  show() {
    const { store } = this;
    const channel = store.conversations.get(store.current);
    this.place.hidden = !this.isWanted || !channel?.isChannel;
    document.body.toggleAttribute("data-members", !this.place.hidden);
    document.querySelector('[data-act="members"]')?.setAttribute("aria-expanded", String(!this.place.hidden));
    if (this.place.hidden) return;
    const people = channel.members.map((id) => this.person(id)).sort(byPresence);
    reconcile(
      this.rows,
      people.map((person) => ({ key: person.id, look: lookOf(person, store), build: () => this.row(person) })),
    );
  }

  person(id) {
    const { me, people } = this.store;
    if (id === me?.id) return { ...me, state: "here", muted: false };
    return people.get(id) ?? { id, name: id, state: "offline", guest: false, muted: false };
  }

  row(person) {
    const parts = [
      face(person),
      called(person, this.store),
      make("span", { class: "state" }, person.id === this.store.me?.id ? "you" : PRESENCE[person.state]),
    ];
    if (person.id === this.store.me?.id) return make("li", {}, make("span", { class: "row person here" }, ...parts));
    const about = make(
      "button",
      { class: `row person ${person.state}`, type: "button", onclick: () => this.open(person.id) },
      ...parts,
      icon("more"),
    );
    return make("li", {}, about);
  }
}
