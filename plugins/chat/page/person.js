// The dialog about a person: who it is, write, mute, put out of a channel of mine.

import { Dialog, button } from "./dialogs.js";
import { make } from "./dom.js";
import { clean } from "./names.js";
import { go } from "./routes.js";
import { PRESENCE } from "./rows.js";

export class PersonDialog {
  constructor(chat, id) {
    this.chat = chat;
    this.person = chat.store.people.get(id) ?? { id, name: id, state: "offline", guest: false, muted: false };
    this.dialog = new Dialog(make("bdi", {}, clean(this.person.name)));
    this.dialog.show(this.facts(), this.acts());
  }

  facts() {
    const { id, state, why, guest } = this.person;
    const facts = [
      ["Presence", PRESENCE[state]],
      ["Why", why],
      ["Peer", id],
      ["Account", guest ? "none: a guest" : null],
    ];
    return make(
      "dl",
      {},
      ...facts
        .filter(([, text]) => text)
        .flatMap(([name, text]) => [make("dt", {}, name), make("dd", { dir: "auto" }, text)]),
    );
  }

  acts() {
    const { id, muted } = this.person;
    const channel = this.chat.store.conversations.get(this.chat.store.current);
    const isMember = channel?.isChannel && channel.owner && channel.members.includes(id);
    const write = () => {
      this.dialog.close();
      go(`@${id}`);
    };
    const mute = () => this.dialog.attempt(() => this.chat.mute(id, !muted));
    const remove = () => this.dialog.attempt(() => this.chat.remove(channel.id.slice(1), id));
    return make(
      "div",
      { class: "acts" },
      this.chat.store.current === `@${id}` ? null : button("Write a message", write),
      button(muted ? "Take messages again" : "Mute", mute, "plain"),
      make(
        "small",
        {},
        muted
          ? "Muted: messages of this person are refused."
          : "Muting refuses messages of this person from now on, to you alone.",
      ),
      isMember ? button(`Remove from ${channel.id}`, remove, "plain danger") : null,
    );
  }
}
