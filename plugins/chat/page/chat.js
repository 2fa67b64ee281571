// What a person can do, whatever the page looks like: it joins the store, the outbox and the socket.

import { Outbox } from "./outbox.js";
import { Failure, Socket } from "./socket.js";
import { Store } from "./store.js";

export const LONGEST_TEXT = 4000; // code points, as between peers
const END = Number.MAX_SAFE_INTEGER; // behind every message

export class Chat {
  // `tell(text, level)` shows words that belong to no conversation; `announce(text)` says them.
  constructor({ url, token, tell, announce }) {
    this.store = new Store();
    this.outbox = null;
    this.tell = tell;
    this.announce = announce;
    this.busy = new Set(); // conversations of which older messages are under way
    this.marks = new Map(); // the highest number told as read, by conversation
    this.socket = new Socket({
      url,
      hello: () => ({ ...(token() === null ? {} : { token: token() }), ...this.store.resume() }),
      heard: (message) => this.hear(message),
      changed: (connection) => this.store.setConnection(connection),
    });
  }

  // `owner` names whose drafts and unsent messages this tab keeps.
  start(owner) {
    if (this.owner !== owner) {
      this.owner = owner;
      this.outbox = new Outbox(owner);
      this.store.reset();
    }
    this.socket.start();
  }

  // Nothing of who has left stays in this tab.
  forget() {
    this.socket.stop();
    this.outbox?.clear();
    this.owner = null;
    this.store.reset();
  }

  hear(message) {
    if (message.type === "notice") this.tell(message.text, message.level);
    this.store.apply(message);
    if (message.type === "state" && message.state.state === "failed") this.announce("A message of yours has failed.");
    if (message.type === "message") this.outbox.remove(message.message.key);
    if (message.type === "welcome") this.welcome(message);
  }

  welcome({ messages }) {
    for (const { key } of messages) if (key) this.outbox.remove(key);
    this.outbox.forgetTaken();
    this.marks.clear();
    for (const entry of this.outbox.waiting()) this.deliver(entry);
  }

  // -- messages ----------------------------------------------------------------------------------------------------

  // False where it cannot be taken: the outbox is full.
  say(to, text) {
    if (this.outbox.isFull) return false;
    this.deliver(this.outbox.add(to, text));
    this.store.changed("messages");
    return true;
  }

  again(key) {
    this.outbox.again(key);
    const entry = this.outbox.waiting().find((one) => one.key === key);
    if (entry !== undefined) this.deliver(entry);
    this.store.changed("messages");
  }

  discard(key) {
    this.outbox.remove(key);
    this.store.changed("messages");
  }

  async deliver({ key, to, text }) {
    try {
      await this.socket.request({ type: "say", key, to, text });
      this.outbox.taken(key);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.code === "offline" || error.code === "lost") return; // it waits for the next welcome
      this.outbox.refused(key, error.message);
    }
    this.store.changed("messages");
  }

  // Older ones than those held; nothing where they are under way or there are none.
  async older(conversation) {
    const { id, timeline } = conversation;
    if (!timeline.more || this.busy.has(id)) return;
    await this.fetch(conversation, timeline.before, (messages, more) => timeline.putOlder(messages, more));
  }

  // The newest, where the end was cut off.
  async latest(conversation) {
    const { id, timeline } = conversation;
    if (this.busy.has(id)) return;
    // Not before a number that is known here: what comes until the server answers would be missing.
    await this.fetch(conversation, END, (messages, more) => timeline.restart(messages, more, END));
  }

  async fetch({ id }, before, take) {
    if (!this.socket.isOnline) return;
    this.busy.add(id);
    try {
      const { messages = [], more = false } = await this.socket.request({ type: "older", to: id, before });
      take(messages, more);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.code !== "lost") this.tell(`Older messages could not be had: ${error.message}`, "error");
    } finally {
      this.busy.delete(id);
      this.store.changed("messages");
    }
  }

  read(conversation) {
    const { id, last } = conversation;
    this.store.setRead(id, last);
    if (last > 0 && (this.marks.get(id) ?? 0) < last && this.socket.send({ type: "read", to: id, number: last })) {
      this.marks.set(id, last);
    }
  }

  // -- channels and people: promises of `done`; Failure ------------------------------------------------------------

  join(channel, { password, invite }) {
    return this.socket.request({ type: "join", channel, ...(password && { password }), ...(invite && { invite }) });
  }

  leave(channel) {
    return this.socket.request({ type: "leave", channel });
  }

  setPolicy(channel, policy, password) {
    return this.socket.request({ type: "policy", channel, policy, ...(password && { password }) });
  }

  async invite(channel) {
    return (await this.socket.request({ type: "invite", channel })).invite;
  }

  remove(channel, peer) {
    return this.socket.request({ type: "remove", channel, peer });
  }

  mute(peer, muted) {
    return this.socket.request({ type: "mute", peer, muted });
  }

  open(peer) {
    return this.socket.request({ type: "open", peer });
  }

  // Names of channels that I am not in; none where the server does not tell.
  async channels() {
    try {
      return (await this.socket.request({ type: "channels" })).channels ?? [];
    } catch (error) {
      if (error instanceof Failure) return [];
      throw error;
    }
  }
}
