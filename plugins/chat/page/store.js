// What this page knows: who I am, the people, the conversations, how the connection is. Each kind of message from the
// server changes it in one way (RULES). Whoever shows a part of it subscribes to a topic, and is told at most once per
// frame, however much has arrived.

import { Conversation } from "./conversation.js";
import { alike } from "./names.js";
import { MOST_IDLE } from "./timeline.js";

export const EVERYONE = "*";
const FRAME = 16; // ms. A timer, not an animation frame: those stop in a hidden tab, where titles must go on
const FIRST_LOOK = 50; // messages of each conversation in a full welcome
const MOST_PENDING = 500; // states asked for after a reconnect

const RULES = {
  welcome: (store, told) => store.welcome(told),
  message: (store, { message }) => store.receive(message),
  state: (store, { state }) => store.setState(state),
  person: (store, { person }) => store.setPerson(person),
  conversation: (store, { conversation }) => store.setConversation(conversation),
  gone: (store, { id }) => store.forget(id),
  read: (store, { to, number }) => store.setRead(to, number),
};

export class Store {
  constructor() {
    this.listeners = []; // {topics, tell}
    this.arrivals = []; // called with (message, conversation) for what is new, live and not mine
    this.changes = new Set();
    this.connection = { name: "connecting" };
    this.current = null; // the id of the conversation that is shown
    this.reset();
  }

  reset() {
    this.me = null;
    this.run = null;
    this.since = 0;
    this.people = new Map();
    this.conversations = new Map();
    this.names = new Map();
    this.changed("me", "people", "conversations", "messages");
  }

  // Topics: me, people, conversations, messages (of the current conversation), connection.
  subscribe(topics, tell) {
    this.listeners.push({ topics, tell });
  }

  changed(...topics) {
    if (this.changes.size === 0) setTimeout(() => this.tell(), FRAME);
    for (const topic of topics) this.changes.add(topic);
  }

  tell() {
    const changes = this.changes;
    this.changes = new Set();
    for (const { topics, tell } of this.listeners) if (topics.some((topic) => changes.has(topic))) tell();
  }

  // Whether it was a message this page knows. Others are from a later version, and let be.
  apply(told) {
    const rule = Object.hasOwn(RULES, told.type) ? RULES[told.type] : null;
    rule?.(this, told);
    return rule !== null;
  }

  // -- for the next hello ------------------------------------------------------------------------------------------

  resume() {
    return this.run === null ? {} : { run: this.run, since: this.since, pending: this.pending() };
  }

  pending() {
    const found = [];
    for (const { timeline } of this.conversations.values()) {
      for (const { id, mine, state } of timeline.messages) {
        if (mine && state?.state !== "failed" && !(state?.state === "delivered" && state.delivered >= state.of))
          found.push(id);
      }
    }
    return found.slice(-MOST_PENDING);
  }

  // -- the server tells --------------------------------------------------------------------------------------------

  welcome({ run, me, full, conversations, people, messages, states }) {
    if (full || this.me?.id !== me.id) this.reset();
    Object.assign(this, { run, me });
    this.people.clear();
    for (const person of people) this.people.set(person.id, person);
    for (const id of this.conversations.keys()) {
      if (!conversations.some((one) => one.id === id) && !this.isStub(id)) this.conversations.delete(id);
    }
    for (const conversation of conversations) this.setConversation(conversation);
    if (full) this.firstLook(messages);
    else for (const message of messages) this.receive(message, true);
    for (const state of states) this.setState(state);
    this.since = messages.reduce((highest, { number }) => Math.max(highest, number), this.since);
    this.countNames();
    this.changed("me", "people", "conversations", "messages");
  }

  firstLook(messages) {
    for (const conversation of this.conversations.values()) {
      const its = messages.filter((message) => message.to === conversation.id);
      conversation.timeline.restart(its, its.length >= FIRST_LOOK, conversation.last + 1);
    }
  }

  receive(message, isPast = false) {
    this.since = Math.max(this.since, message.number);
    const conversation = this.conversation(message.to, message.mine ? "" : message.name);
    const isNew = conversation.receive(message);
    if (isNew && !message.mine && !isPast) for (const tell of this.arrivals) tell(message, conversation);
    this.changed("conversations");
    if (message.to === this.current) this.changed("messages");
  }

  setState(state) {
    for (const conversation of this.conversations.values()) {
      if (conversation.timeline.setState(state)) this.changed("messages");
    }
  }

  setPerson(person) {
    this.people.set(person.id, person);
    this.countNames();
    this.changed("people", "messages");
  }

  setConversation(told) {
    const known = this.conversations.get(told.id);
    if (known === undefined) this.conversations.set(told.id, new Conversation(told));
    else known.update(told);
    this.changed("conversations", "people", "messages");
  }

  forget(id) {
    this.conversations.delete(id);
    this.changed("conversations", "people", "messages");
  }

  setRead(to, number) {
    if (this.conversations.get(to)?.readUpTo(number)) this.changed("conversations", "messages");
  }

  // -- this page changes -------------------------------------------------------------------------------------------

  setConnection(connection) {
    this.connection = connection;
    this.changed("connection");
  }

  // Leaving one lets go of what was read back in it.
  show(id) {
    const before = this.conversations.get(this.current);
    if (before !== undefined && this.current !== id) {
      before.isFollowed = true;
      before.timeline.trim(MOST_IDLE);
    }
    this.current = id;
    this.changed("conversations", "people", "messages");
  }

  // -- questions ---------------------------------------------------------------------------------------------------

  // The one of this id. A direct one begins when somebody opens it, which is before the server knows.
  conversation(id, title = "") {
    const known = this.conversations.get(id);
    if (known !== undefined) return known;
    const peer = id.startsWith("@") ? id.slice(1) : null;
    const name = title || this.people.get(peer)?.name || (id === EVERYONE ? "Everyone" : id.slice(1));
    const made = new Conversation({ id, title: name, members: peer === null ? [] : [peer] });
    this.conversations.set(id, made);
    this.changed("conversations", "people");
    return made;
  }

  isStub(id) {
    return id === this.current && id.startsWith("@") && this.conversations.get(id).last === 0;
  }

  // Two people may be shown with one name; then the id tells them apart.
  isAmbiguous(name) {
    return (this.names.get(alike(name)) ?? 0) > 1;
  }

  get unread() {
    let sum = 0;
    for (const conversation of this.conversations.values()) sum += conversation.unread;
    return sum;
  }

  countNames() {
    this.names = new Map();
    const all = [...this.people.values()].filter((person) => person.id !== this.me?.id);
    for (const { name } of this.me === null ? all : [...all, this.me]) {
      this.names.set(alike(name), (this.names.get(alike(name)) ?? 0) + 1);
    }
  }
}
