// One conversation: what the server says of it, its messages, and how far it has been read. `unread` is the server's
// count as of the last word from it, and grows here with what arrives behind `read`.

import { MOST_IDLE, MOST_READ, Timeline } from "./timeline.js";

export class Conversation {
  constructor(told) {
    this.timeline = new Timeline();
    this.read = 0;
    this.unread = 0;
    this.last = 0;
    this.isFollowed = true; // nobody reads back in it
    this.update(told);
  }

  get isChannel() {
    return this.id.startsWith("#");
  }

  // Of the direct ones; "" for the others.
  get peer() {
    return this.id.startsWith("@") ? this.id.slice(1) : "";
  }

  update({ id, title, policy = null, owner = false, members = [], unread = 0, read = 0, last = 0 }) {
    Object.assign(this, { id, title, policy, owner, members });
    this.last = Math.max(this.last, last);
    // Where this page has read on meanwhile, the server's count is older than ours.
    if (read < this.read) return;
    this.read = read;
    this.unread = unread;
  }

  // Whether it is new here. What stands behind a cut is fetched when somebody goes there.
  receive(message) {
    const isNew = this.timeline.isCut ? message.number > this.last : this.timeline.put(message);
    if (isNew && !message.mine && message.number > Math.max(this.read, this.last)) this.unread += 1;
    this.last = Math.max(this.last, message.number);
    if (this.isFollowed) this.timeline.trim(MOST_IDLE);
    else this.timeline.cut(MOST_READ);
    return isNew;
  }

  // Whether it changed anything. All others are told by number, so this can be said by any tab.
  readUpTo(number) {
    if (number <= this.read) return false;
    this.read = number;
    const left = this.timeline.messages.filter((message) => !message.mine && message.number > number).length;
    this.unread = number >= this.last ? 0 : Math.min(this.unread, left);
    return true;
  }
}
