// What outlives a reload. A browser may have no storage, a full one, or one that throws at every touch (private
// windows, blocked cookies): then memory stands in, and only the reload is lost.

class Shelf {
  constructor(place) {
    this.place = place;
    this.memory = new Map();
  }

  get(key) {
    let text = this.memory.get(key) ?? null;
    try {
      text = this.place().getItem(key) ?? text;
      return text === null ? null : JSON.parse(text);
    } catch {
      return text === null ? null : parsed(text);
    }
  }

  set(key, value) {
    const text = JSON.stringify(value);
    try {
      this.place().setItem(key, text);
      this.memory.delete(key);
    } catch {
      this.memory.set(key, text);
    }
  }

  remove(key) {
    this.memory.delete(key);
    try {
      this.place().removeItem(key);
    } catch {
      // Nothing can have been put there.
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export const ofTab = new Shelf(() => window.sessionStorage);
export const ofBrowser = new Shelf(() => window.localStorage);
