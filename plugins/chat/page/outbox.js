// What was typed and is not known to have arrived at the server. It is kept over a reload and sent again with the same
// key after each reconnect: the server takes a key once, so a message is sent once.
//
//   waiting --done--> taken --its message--> gone        waiting --failed--> refused --again--> waiting

import { randomKey } from "./names.js";
import { ofTab } from "./storage.js";

const MOST = 200;

export class Outbox {
  // `owner` is whose messages they are: somebody else who logs in at this tab does not send them.
  constructor(owner, shelf = ofTab) {
    this.shelf = shelf;
    this.name = `chat:outbox:${owner}`;
    this.entries = (shelf.get(this.name) ?? []).filter((entry) => entry.state !== "taken");
  }

  get isFull() {
    return this.entries.length >= MOST;
  }

  add(to, text) {
    const entry = { key: randomKey(), to, text, at: new Date().toISOString(), state: "waiting", reason: "" };
    this.entries.push(entry);
    this.#keep();
    return entry;
  }

  of(to) {
    return this.entries.filter((entry) => entry.to === to);
  }

  waiting() {
    return this.entries.filter((entry) => entry.state === "waiting");
  }

  // The server has it; its message is on the way.
  taken(key) {
    this.#set(key, "taken");
  }

  refused(key, reason) {
    this.#set(key, "refused", reason);
  }

  again(key) {
    this.#set(key, "waiting");
  }

  // Whether it was there: its message has come, or the person does not want it any more.
  remove(key) {
    const left = this.entries.filter((entry) => entry.key !== key);
    const was = left.length < this.entries.length;
    this.entries = left;
    if (was) this.#keep();
    return was;
  }

  // After a welcome: whatever was taken before has been in it, or is known to the server.
  forgetTaken() {
    this.entries = this.entries.filter((entry) => entry.state !== "taken");
    this.#keep();
  }

  clear() {
    this.entries = [];
    this.shelf.remove(this.name);
  }

  #set(key, state, reason = "") {
    const entry = this.entries.find((one) => one.key === key);
    if (entry === undefined) return;
    Object.assign(entry, { state, reason });
    this.#keep();
  }

  #keep() {
    if (this.entries.length > 0) this.shelf.set(this.name, this.entries);
    else this.shelf.remove(this.name);
  }
}
