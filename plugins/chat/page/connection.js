// How the connection is, in words, always in sight. The seconds that count down are for the eye only: a screen reader
// hears a change of state once.

import { find, make } from "./dom.js";

const WORDS = {
  connecting: ["Connecting…", "busy"],
  online: ["Connected", "good"],
  waiting: ["No connection", "bad"],
  ended: ["Not connected", "bad"],
  taken: ["Open elsewhere", "bad"],
};

export class ConnectionView {
  constructor(chat) {
    this.chat = chat;
    this.place = find("connection");
    this.shown = "";
    chat.store.subscribe(["connection"], () => this.show());
    setInterval(() => this.count(), 500);
  }

  show() {
    const { name, at } = this.chat.store.connection;
    const look = `${name} ${at ?? ""}`;
    if (look === this.shown) return;
    this.shown = look;
    const [words, tone] = WORDS[name];
    document.body.dataset.connection = name;
    this.place.dataset.tone = tone;
    this.seconds = make("span", { class: "seconds", "aria-hidden": "true" });
    this.place.replaceChildren(make("span", { class: "words" }, words), this.seconds, ...this.button(name));
    this.count();
  }

  button(name) {
    const act = { waiting: "Try now", taken: "Use it here" }[name];
    return act === undefined
      ? []
      : [make("button", { class: "link", type: "button", onclick: () => this.chat.socket.start() }, act)];
  }

  count() {
    const { name, at } = this.chat.store.connection;
    if (name === "waiting")
      this.seconds.textContent = `next try in ${Math.max(1, Math.ceil((at - Date.now()) / 1000))} s`;
  }
}
