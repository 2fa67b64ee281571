// Dialogs: the browser's own <dialog>, which keeps the focus inside, goes with Escape and gives the focus back.

import { icon, make } from "./dom.js";
import { Failure } from "./socket.js";

let count = 0;

export class Dialog {
  constructor(title) {
    const id = `dialog-${++count}`;
    this.wrong = make("p", { class: "wrong", role: "alert" });
    this.body = make("div", { class: "dialog-body" });
    const close = make(
      "button",
      { class: "round", type: "button", "aria-label": "Close", onclick: () => this.close() },
      icon("close"),
    );
    const head = make("header", {}, make("h2", { id, tabindex: "-1" }, title), close);
    this.element = make("dialog", { "aria-labelledby": id }, head, this.body, this.wrong);
    this.element.addEventListener("close", () => this.element.remove());
    this.element.addEventListener(
      "click",
      (event) => event.target === this.element && this.isOutside(event) && this.close(),
    );
    document.body.append(this.element);
  }

  show(...content) {
    this.body.replaceChildren(...content.filter((part) => part !== null));
    if (!this.element.open) this.element.showModal();
    this.body.querySelector("[autofocus], input:not([type=radio]):not([type=checkbox])")?.focus();
    return this;
  }

  close() {
    this.element.close();
  }

  // Runs `act` and closes; what the server says against it is shown, and the code returned.
  async attempt(act, stays = false) {
    this.wrong.textContent = "";
    try {
      await act();
      if (!stays) this.close();
      return "";
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.wrong.textContent = sentence(error.message);
      return error.code;
    }
  }

  isOutside({ clientX, clientY }) {
    const { left, right, top, bottom } = this.element.getBoundingClientRect();
    return clientX < left || clientX > right || clientY < top || clientY > bottom;
  }
}

export function field(words, attributes, hint = "") {
  const input = make("input", attributes);
  return { input, label: make("label", {}, make("span", {}, words), input, hint && make("small", {}, hint)) };
}

export const button = (words, onclick, look = "") => make("button", { type: "button", class: look, onclick }, words);

export function form(submit, ...content) {
  return make("form", { autocomplete: "off", onsubmit: (event) => (event.preventDefault(), submit()) }, ...content);
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
