// The way in. On a server: a login with an account, or a name alone where guests are let in. In a peer: the token that
// its terminal has printed. All without leaving the page, so that nothing written is lost when a login ends.

import { find, make } from "./dom.js";
import { ofTab } from "./storage.js";

const TOKEN = "chat:token";

// -- the token of a peer -------------------------------------------------------------------------------------------

export const token = () => ofTab.get(TOKEN);

// From the address (#token=…), which it then leaves: it is not to be seen, nor kept in the history.
export function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found === null) return false;
  ofTab.set(TOKEN, found);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

export const dropToken = () => ofTab.remove(TOKEN);

// -- asking the server ---------------------------------------------------------------------------------------------

export async function askState() {
  const answer = await fetch("/chat/state", { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!answer.ok) throw new Error(`/chat/state: ${answer.status}`);
  return answer.json();
}

// The words to show where it was refused, else "".
async function post(path, body) {
  try {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.ok) return "";
    const told = await answer.json().catch(() => null);
    return sentence(told?.error?.message ?? `The server refused it (${answer.status}).`);
  } catch {
    return "The server does not answer. Is the network there?";
  }
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

export const logOut = () => post("/logout", {});

// -- the cards -----------------------------------------------------------------------------------------------------

export class Entry {
  // `enter()` is called when there is a reason to believe that the door is open.
  constructor(enter) {
    this.enter = enter;
    this.place = find("entry");
  }

  hide() {
    this.place.hidden = true;
    this.place.replaceChildren();
  }

  // What can be told of the state: `why` in words, or nothing.
  show({ kind, guests, login }, why = "") {
    if (kind === "peer") this.put(this.peerCard(why));
    else this.put(this.loginCard(login, why), ...(guests ? [this.guestCard()] : []));
  }

  showTrouble(again) {
    const button = make("button", { type: "button", onclick: again }, "Try again");
    this.put(card("The server does not answer", "This page comes back by itself as soon as it does.", button));
  }

  put(...cards) {
    this.place.hidden = false;
    this.place.replaceChildren(make("div", { class: "cards" }, ...cards));
    const field = [...this.place.querySelectorAll("input")].find((one) => one.value === "");
    if (matchMedia("(pointer: fine)").matches) field?.focus();
  }

  loginCard(path, why) {
    const name = field("Name", {
      name: "username",
      autocomplete: "username",
      autocapitalize: "none",
      spellcheck: "false",
      maxlength: 64,
      required: true,
    });
    const password = field("Password", {
      name: "password",
      type: "password",
      autocomplete: "current-password",
      maxlength: 1024,
      required: true,
    });
    const send = () => post(path, { username: name.input.value, password: password.input.value });
    return card(
      "Log in to chat",
      why || "With your account on this server.",
      this.form("Log in", send, password.input, name.label, password.label),
    );
  }

  guestCard() {
    const name = field("Your name", { name: "name", autocomplete: "nickname", maxlength: 64, required: true });
    const send = () => post("/guest", { name: name.input.value });
    return card(
      "Come in as a guest",
      "A name is enough. The others see that you are a guest.",
      this.form("Come in", send, null, name.label),
    );
  }

  peerCard(why) {
    const address = field("Address or token", {
      name: "token",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
    });
    const send = () => {
      const given = address.input.value.trim();
      ofTab.set(TOKEN, given.includes("token=") ? given.slice(given.indexOf("token=") + 6) : given);
      return "";
    };
    const text =
      "This page is the window of a peer that runs in a terminal. The peer lets in who knows its token: open the " +
      "address which ends in #token=… as the terminal shows it, or paste it here. It is good until the peer stops.";
    return card("Show the peer's token", why || text, this.form("Open", send, null, address.label));
  }

  form(words, send, clear, ...fields) {
    const wrong = make("p", { class: "wrong", role: "alert" });
    const button = make("button", { type: "submit" }, words);
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      const problem = await send();
      button.disabled = false;
      wrong.textContent = problem;
      if (problem === "") return this.enter();
      if (clear !== null) clear.value = "";
      (clear ?? event.target.querySelector("input")).focus();
    };
    return make("form", { onsubmit: submit }, ...fields, wrong, button);
  }
}

function card(title, text, content) {
  return make("section", { class: "card" }, make("h1", {}, title), make("p", {}, text), content);
}

function field(words, attributes) {
  const input = make("input", attributes);
  return { input, label: make("label", {}, make("span", {}, words), input) };
}
