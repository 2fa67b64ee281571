// Where a message is written. It grows with the text; what is written in a conversation waits there, also over a
// reload, until it is sent.

import { LONGEST_TEXT } from "./chat.js";
import { find } from "./dom.js";
import { isolated } from "./names.js";
import { ofTab } from "./storage.js";

const TALLEST = 0.35; // of the window's height
const WARN = 300; // code points before the longest

export class Composer {
  // `said()` is called when something was sent; `refused(words)` when it could not be taken.
  constructor(chat, { said, refused }) {
    Object.assign(this, { chat, said, refused, id: null });
    Object.assign(this, {
      form: find("composer"),
      text: find("text"),
      room: find("room"),
      label: find("text-label"),
    });
    this.button = this.form.querySelector("button");
    this.text.addEventListener("input", () => this.changed());
    this.text.addEventListener("keydown", (event) => this.pressed(event));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    addEventListener("resize", () => this.grow());
  }

  open(id, title) {
    this.form.hidden = id === null;
    this.id = id;
    if (id === null) return;
    const words = `Message to ${isolated(title)}`;
    this.label.textContent = words;
    this.text.placeholder = words;
    this.text.value = ofTab.get(this.place) ?? "";
    this.changed();
  }

  focus() {
    this.text.focus();
  }

  get place() {
    return `chat:draft:${this.chat.owner}:${this.id}`;
  }

  // Enter sends, except where it ends the choice of a character (Japanese, Chinese, Korean: 229 in older browsers).
  pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.send();
  }

  send() {
    const text = this.text.value.trimEnd();
    if (text.trim() === "" || this.left < 0) return;
    if (!this.chat.say(this.id, text)) {
      this.refused("Too many messages wait for the connection. Keep this one until it is back.");
      return;
    }
    this.text.value = "";
    this.changed();
    this.text.focus();
    this.said();
  }

  changed() {
    if (this.text.value === "") ofTab.remove(this.place);
    else ofTab.set(this.place, this.text.value);
    this.left = LONGEST_TEXT - length(this.text.value);
    this.room.textContent =
      this.left < 0 ? `${-this.left} characters too long` : this.left < WARN ? `${this.left} characters left` : "";
    this.room.classList.toggle("bad", this.left < 0);
    this.button.disabled = this.left < 0 || this.text.value.trim() === "";
    this.grow();
  }

  grow() {
    this.text.style.height = "auto";
    const border = this.text.offsetHeight - this.text.clientHeight;
    this.text.style.height = `${Math.min(this.text.scrollHeight + border, innerHeight * TALLEST)}px`;
  }
}

// In code points. The exact count of a long text only, as it walks through all of it.
const length = (text) => (text.length <= LONGEST_TEXT - WARN ? text.length : [...text].length);
