// The window on the open conversation. It follows the newest message until somebody reads back; then it keeps its
// place, whatever arrives, and says how many new ones are below. Of all that is held only a part is in the page
// (MOST_SHOWN), which moves along with the reader.

import { find, make, reconcile } from "./dom.js";
import { messageRow, toggleDetails } from "./message.js";
import { clockTime, dayName, dayNumber, instant, untilMidnight } from "./time.js";

const SHOWN = 120; // messages in the page at the end of a conversation
const MOST_SHOWN = 240; // and while somebody reads back
const STEP = 60;
const CLOSE = 48; // px from the end that still count as the end
const EDGE = 800; // px from an end of what is in the page at which more is put in
const RUN = 5 * 60_000; // ms between two messages that one person writes in one go

export class MessageWindow {
  constructor(chat) {
    Object.assign(this, { chat, store: chat.store, log: find("log"), list: find("messages"), pill: find("below") });
    this.places = new Map(); // by conversation: where its reader was
    this.acts = { again: (key) => chat.again(key), discard: (key) => chat.discard(key) };
    this.clear(null);
    this.store.subscribe(["messages", "people", "me"], () => this.show());
    this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.log.addEventListener("keydown", (event) => this.pressed(event));
    this.pill.addEventListener("click", () => this.toEnd());
    this.store.arrivals.push((message) => {
      if (message.to === this.id) this.fresh += 1;
    });
    const sizes = new ResizeObserver(() => this.conversation !== undefined && this.isFollowing && this.stick());
    for (const element of [this.log, this.list]) sizes.observe(element);
    for (const event of ["focus", "visibilitychange"]) addEventListener(event, () => this.seen());
    this.atMidnight();
  }

  get conversation() {
    return this.store.conversations.get(this.id);
  }

  clear(id) {
    this.id = id;
    this.top = null; // the key of the first message in the page; null: as many as fit before the end
    this.isFollowing = true;
    this.mark = Infinity; // messages behind this number have come since somebody looked here
    this.fresh = 0; // messages that have come below what is read back
    this.returning = null;
  }

  // -- which conversation ------------------------------------------------------------------------------------------

  open(id) {
    this.keepPlace();
    this.clear(id);
    this.list.replaceChildren();
    delete this.list.kept;
    const conversation = this.conversation;
    if (conversation?.unread > 0) this.mark = conversation.read;
    this.fresh = conversation?.unread ?? 0;
    const index = conversation?.timeline.indexOf(this.places.get(id)?.key) ?? -1;
    if (index >= 0) this.returnTo(conversation, index, this.places.get(id));
    else this.openAtMark();
  }

  keepPlace() {
    if (this.id === null) return;
    if (this.isFollowing) this.places.delete(this.id);
    else this.places.set(this.id, this.anchor());
  }

  returnTo(conversation, index, anchor) {
    this.setFollowing(false);
    this.returning = anchor;
    this.showFrom(conversation, Math.max(0, index - STEP));
  }

  openAtMark() {
    const messages = this.conversation?.timeline.messages ?? [];
    const first = messages.findIndex(({ mine, number }) => !mine && number > this.mark);
    if (first >= 0 && first < messages.length - SHOWN) {
      this.setFollowing(false);
      this.top = messages[Math.max(0, first - STEP)].id;
    }
    this.show();
    this.toMark();
  }

  // Where there is more new than fits, reading begins with the first new one.
  toMark() {
    const line = this.list.querySelector(".mark");
    if (line === null || this.log.scrollHeight - line.offsetTop <= this.log.clientHeight) return;
    this.setFollowing(false);
    this.log.scrollTop = line.offsetTop - 16;
    this.show();
  }

  // After a message of mine: all above it has been read.
  said() {
    this.mark = Infinity;
    this.toEnd();
  }

  // -- what is in the page -----------------------------------------------------------------------------------------

  show() {
    if (this.mark === Infinity && this.conversation?.unread > 0 && !this.isLookedAt)
      this.mark = this.conversation.read;
    const anchor = this.returning ?? (this.isFollowing ? null : this.anchor());
    this.returning = null;
    reconcile(this.list, this.items());
    if (this.isFollowing) this.stick();
    else this.restore(anchor);
    this.showBelow();
    this.seen();
    if (this.log.clientHeight > 0 && this.log.scrollHeight <= this.log.clientHeight) this.fill();
  }

  fill() {
    if (this.conversation?.timeline.more) this.chat.older(this.conversation);
  }

  items() {
    const conversation = this.conversation;
    if (conversation === undefined) return [];
    const [start, end] = this.range(conversation.timeline.messages);
    const { messages, more } = conversation.timeline;
    const rows = messages.slice(start, end).map((message) => this.ofMessage(message));
    if (end === messages.length && !conversation.timeline.isCut)
      rows.push(...this.chat.outbox.of(this.id).map((entry) => this.ofEntry(entry)));
    const items = this.withLines(rows);
    if (start === 0)
      items.unshift(
        more
          ? line("older", "Older messages are on their way…", "hint")
          : line("begin", beginning(conversation), "hint"),
      );
    return items;
  }

  // From where to where, by index.
  range(messages) {
    const top = this.top === null ? -1 : this.conversation.timeline.indexOf(this.top);
    if (this.isFollowing || top < 0) {
      const start = Math.max(0, messages.length - SHOWN);
      this.top = messages[start]?.id ?? null;
      return [start, messages.length];
    }
    return [top, Math.min(messages.length, top + MOST_SHOWN)];
  }

  ofMessage({ id, key, from, name, text, at, mine, number, state }) {
    const person = this.store.people.get(from) ?? { id: from, name };
    return {
      key: id,
      mine,
      person: { ...person, state: undefined },
      at: instant(at),
      text,
      state: mine ? (state ?? { state: "queued" }) : undefined,
      number,
      said: key,
    };
  }

  ofEntry(entry) {
    return {
      key: `key:${entry.key}`,
      outboxKey: entry.key,
      mine: true,
      person: this.store.me ?? { id: "", name: "" },
      at: instant(entry.at),
      text: entry.text,
      state: null,
      entry,
      number: 0,
    };
  }

  // With the days, and the line above what is new; runs of one person's messages are closed up.
  withLines(rows) {
    const items = [];
    let [day, before, isMarked] = [0, null, this.mark === Infinity];
    for (const row of rows) {
      const its = dayNumber(row.at);
      let isFirst =
        before === null ||
        before.person.id !== row.person.id ||
        before.mine !== row.mine ||
        Math.abs(row.at - before.at) > RUN;
      if (its > day) {
        items.push(line(`day:${its}`, dayName(row.at), "day"));
        [day, isFirst] = [its, true];
      }
      if (!isMarked && !row.mine && row.number > this.mark) {
        items.push(line("mark", "New", "mark"));
        [isMarked, isFirst] = [true, true];
      }
      items.push(this.item({ ...row, isFirst }));
      before = row;
    }
    return items;
  }

  item(shown) {
    const { person, state, entry, isFirst } = shown;
    const names = (state?.reasons ?? []).map(({ peer }) => this.store.people.get(peer)?.name);
    const look = JSON.stringify([
      person.name,
      person.guest,
      person.muted,
      this.store.isAmbiguous(person.name),
      state,
      entry,
      isFirst,
      names,
    ]);
    return {
      key: shown.key,
      look,
      build: () => messageRow(shown.entry ? { ...shown, key: shown.outboxKey } : shown, this.store, this.acts),
    };
  }

  // -- place -------------------------------------------------------------------------------------------------------

  // The first message in sight, and how far it is from the upper edge.
  anchor() {
    const edge = this.log.getBoundingClientRect().top;
    for (const [key, { node }] of this.list.kept ?? []) {
      const { bottom, top } = node.getBoundingClientRect();
      if (bottom > edge && node.classList.contains("message")) return { key, offset: top - edge };
    }
    return null;
  }

  restore(anchor) {
    const node = anchor === null ? undefined : this.list.kept.get(anchor.key)?.node;
    if (node === undefined) return;
    const moved = node.getBoundingClientRect().top - this.log.getBoundingClientRect().top - anchor.offset;
    if (Math.abs(moved) >= 1) this.log.scrollTop += moved;
  }

  stick() {
    this.height = this.log.clientHeight;
    this.log.scrollTop = this.log.scrollHeight;
  }

  setFollowing(isFollowing) {
    this.isFollowing = isFollowing;
    if (this.conversation !== undefined) this.conversation.isFollowed = isFollowing;
  }

  scrolled() {
    const conversation = this.conversation;
    if (conversation === undefined) return undefined;
    // It was not the reader who moved: a keyboard has come up, the field for writing has grown.
    if (this.isFollowing && this.log.clientHeight !== this.height) return this.stick();
    const below = this.log.scrollHeight - this.log.clientHeight - this.log.scrollTop;
    const { messages, isCut } = conversation.timeline;
    const top = conversation.timeline.indexOf(this.top);
    const isEnd = !isCut && (this.isFollowing || top + MOST_SHOWN >= messages.length);
    const wasFollowing = this.isFollowing;
    this.setFollowing(isEnd && below <= CLOSE);
    if (this.isFollowing !== wasFollowing) this.show();
    if (this.log.scrollTop < EDGE && !this.isFollowing) this.goBack(conversation, top);
    else if (below < EDGE && !isEnd) this.goOn(conversation, top);
    this.showBelow();
    return this.seen();
  }

  goBack(conversation, top) {
    if (top > 0) this.showFrom(conversation, Math.max(0, top - STEP));
    else this.chat.older(conversation).then(() => this.id === conversation.id && this.showOlder(conversation));
  }

  // They have been put in above the one that was the first.
  showOlder(conversation) {
    const top = conversation.timeline.indexOf(this.top);
    if (top > 0 && !this.isFollowing) this.showFrom(conversation, Math.max(0, top - STEP));
  }

  goOn(conversation, top) {
    const { messages, isCut } = conversation.timeline;
    if (top + MOST_SHOWN < messages.length) this.showFrom(conversation, top + STEP);
    else if (isCut) this.toEnd();
  }

  showFrom(conversation, index) {
    this.top = conversation.timeline.messages[index].id;
    this.show();
  }

  async toEnd() {
    const conversation = this.conversation;
    if (conversation === undefined) return;
    if (conversation.timeline.isCut) await this.chat.latest(conversation);
    if (conversation !== this.conversation || conversation.timeline.isCut) return;
    this.setFollowing(true);
    this.show();
  }

  showBelow() {
    if (this.isFollowing) this.fresh = 0;
    const count = this.fresh;
    const words = count === 0 ? "To the newest" : count === 1 ? "1 new message" : `${count} new messages`;
    this.pill.hidden = this.isFollowing || this.conversation === undefined;
    this.pill.classList.toggle("quiet", count === 0);
    if (this.pill.textContent !== words) this.pill.textContent = words;
  }

  get isLookedAt() {
    return this.isFollowing && !document.hidden && document.hasFocus() && this.log.clientHeight > 0;
  }

  // What is at the end of a page that somebody looks at has been read.
  seen() {
    if (this.conversation !== undefined && this.isLookedAt) this.chat.read(this.conversation);
  }

  // -- keys --------------------------------------------------------------------------------------------------------

  // Arrows go from message to message; Enter on one of mine tells how far it has got.
  pressed(event) {
    const row = event.target.closest?.(".message");
    if (event.key === "ArrowUp" || event.key === "ArrowDown") this.step(event, row, event.key === "ArrowUp");
    else if (event.key === "End") this.toEnd();
    else if ((event.key === "Enter" || event.key === " ") && event.target === row) {
      event.preventDefault();
      toggleDetails(row);
    }
  }

  step(event, row, isUp) {
    const rows = [...this.list.querySelectorAll(".message")];
    const next = row === null ? (isUp ? rows.at(-1) : undefined) : rows[rows.indexOf(row) + (isUp ? -1 : 1)];
    if (next === undefined) return;
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  atMidnight() {
    setTimeout(() => {
      this.list.replaceChildren();
      delete this.list.kept;
      this.show();
      this.atMidnight();
    }, untilMidnight() + 1000);
  }
}

function line(key, text, name) {
  return { key, look: text, build: () => make("li", { class: name }, make("span", {}, text)) };
}

function beginning({ peer, isChannel }) {
  if (peer !== "") return "This is the beginning. What you write here goes to the two of you alone.";
  return isChannel
    ? "This is the beginning of what you have of this channel."
    : "What you write here goes to everybody you are connected to.";
}

export const spoken = ({ name, text, at }) => `${name}, ${clockTime(instant(at))}: ${text}`;
