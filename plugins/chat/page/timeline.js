// The messages of one conversation that this page holds: a run without holes, in the order all members see (`order`),
// which is not that of arrival (`number`). It is bounded; what falls out at the old end can be asked for again.

export const MOST_IDLE = 200; // of a conversation that is not looked at, or is followed at its end
export const MOST_READ = 1000; // while somebody reads back
const BATCH = 50;
const NEWCOMER = 30_000; // ms by which clocks may differ

// [lamport, author, n]: numbers by value, the author as text.
export function compare(a, b) {
  return a[0] - b[0] || (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0) || a[2] - b[2];
}

// Whether `message` stands above `other`. Somebody who has just come has heard nothing, and counts from one: what he
// says would stand above all that was said before, where nobody looks. The clocks, which order nothing else, show it;
// it then takes the `place` of the one above it.
function standsAbove(message, other) {
  const isOld = Date.parse(other.at) < Date.parse(message.at) - NEWCOMER;
  return !isOld && compare(message.order, other.place) < 0;
}

export class Timeline {
  constructor() {
    this.messages = [];
    this.more = false; // there are older ones
    this.isCut = false; // the newest are not held: somebody has read so far back that they had to go
    this.before = Infinity; // all that are held have this number or a higher one; what is missing at the old end, none
    this.byId = new Map();
  }

  // Whether it was not there yet.
  put(message) {
    const known = this.byId.get(message.id);
    const index = known === undefined ? this.#placeOf(message) : this.messages.indexOf(known);
    const above = this.messages[index - 1]?.place ?? message.order;
    const place = known?.place ?? (compare(message.order, above) < 0 ? above : message.order);
    const held = { ...message, place };
    this.messages.splice(index, known === undefined ? 0 : 1, held);
    this.byId.set(message.id, held);
    return known === undefined;
  }

  // The newest few, as a first look or after the end was cut off.
  restart(messages, more, before) {
    Object.assign(this, { messages: [], byId: new Map(), isCut: false });
    for (const message of messages) this.put(message);
    this.more = more;
    this.before = lowest(messages, before);
  }

  putOlder(messages, more) {
    for (const message of messages) this.put(message);
    this.before = lowest(messages, this.before);
    this.more = more && messages.length > 0;
    this.cut(MOST_READ);
  }

  // At the new end: somebody reads back, and what is read stays.
  cut(most) {
    if (this.messages.length <= most) return;
    this.#drop(this.messages.splice(most));
    this.isCut = true;
  }

  // From the old end. A late message may stand far up although its number is high: all of those that go are asked for
  // again, so the mark is behind the highest of them. In batches: one at a time would move all the others each time.
  trim(most) {
    if (this.isCut || this.messages.length <= most + BATCH) return;
    const gone = this.messages.splice(0, this.messages.length - most);
    this.#drop(gone);
    const highest = gone.reduce((mark, { number }) => Math.max(mark, number), 0);
    this.before = this.before === Infinity ? highest + 1 : Math.max(this.before, highest + 1);
    this.more = true;
  }

  setState(state) {
    const message = this.byId.get(state.id);
    if (message === undefined) return false;
    return !this.put({ ...message, state });
  }

  indexOf(id) {
    const message = this.byId.get(id);
    return message === undefined ? -1 : this.messages.indexOf(message);
  }

  // From the end upwards: nearly always it is the end.
  #placeOf(message) {
    let place = this.messages.length;
    while (place > 0 && standsAbove(message, this.messages[place - 1])) place -= 1;
    return place;
  }

  #drop(messages) {
    for (const { id } of messages) this.byId.delete(id);
  }
}

const lowest = (messages, start) => messages.reduce((mark, { number }) => Math.min(mark, number), start);
