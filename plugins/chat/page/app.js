// The page begins here: who is there, then the connection, then the conversation that the address names.

import { Alerts } from "./alerts.js";
import { ChannelDialog, JoinDialog } from "./channels.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { ConnectionView } from "./connection.js";
import { ChannelList, Heading } from "./conversations.js";
import { find } from "./dom.js";
import { askState, dropToken, Entry, logOut, takeToken, token } from "./entry.js";
import { MessageWindow, spoken } from "./messages.js";
import { clean } from "./names.js";
import { announce, notice } from "./notices.js";
import { Members, PeopleList } from "./people.js";
import { PersonDialog } from "./person.js";
import { go, goInstead, route } from "./routes.js";
import { SettingsDialog } from "./settings.js";
import { ofTab } from "./storage.js";

const AGAIN = 3000; // ms until a server that did not answer is asked again
const LAST = "chat:current";
const WHY_ENDED = {
  server: "Your login has ended. What you have written is kept here until you are back.",
  peer: "The peer does not know this token: it is perhaps that of an earlier run. Its terminal shows the new address.",
};
const narrow = matchMedia("(max-width: 47.99rem)");
const mouse = matchMedia("(pointer: fine)");

class App {
  constructor() {
    const socket = new URL("/ws", location.href);
    socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.chat = new Chat({ url: socket.href, token, tell: notice, announce });
    this.store = this.chat.store;
    this.entry = new Entry(() => this.begin());
    this.alerts = new Alerts(this.store, go);
    this.isLocked = false; // the way in is shown, in place of the chat
    this.build();
    this.listen();
  }

  build() {
    const { chat, store } = this;
    new ConnectionView(chat);
    new ChannelList(store);
    new PeopleList(store);
    this.members = new Members(store, (id) => new PersonDialog(chat, id));
    new Heading(store, {
      members: () => this.members.toggle(),
      channel: (id) => new ChannelDialog(chat, id),
      person: (id) => new PersonDialog(chat, id),
    });
    this.window = new MessageWindow(chat);
    this.composer = new Composer(chat, {
      said: () => this.window.said(),
      refused: (words) => notice(words, "error"),
    });
  }

  listen() {
    this.store.subscribe(["connection", "me"], () => this.showConnection());
    this.store.subscribe(["conversations"], () => this.keepOpen());
    this.store.arrivals.push((message, { id }) => id === this.store.current && announce(spoken(message)));
    addEventListener("hashchange", () => this.moved());
    addEventListener("keydown", (event) => this.pressed(event));
    narrow.addEventListener("change", () => this.moved());
    for (const id of ["join", "start"]) find(id).addEventListener("click", () => new JoinDialog(this.chat));
    find("settings").addEventListener("click", () => new SettingsDialog(this.alerts));
    find("logout").addEventListener("click", () => this.leave());
    find("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the part behind # says which conversation is open
      this.composer.focus();
    });
  }

  // -- in and out --------------------------------------------------------------------------------------------------

  async begin(why = "") {
    takeToken();
    clearTimeout(this.retry);
    try {
      this.state = await askState();
    } catch {
      this.entry.showTrouble(() => this.begin(why));
      this.retry = setTimeout(() => this.begin(why), AGAIN);
      return;
    }
    const { kind, user } = this.state;
    if (kind === "peer" ? token() === null : user === null) this.lock(why);
    else this.connect(kind === "peer" ? "peer" : user);
  }

  connect(owner) {
    this.isLocked = false;
    this.chat.start(owner);
  }

  lock(why) {
    this.isLocked = true;
    document.body.dataset.view = "start";
    document.querySelector("dialog[open]")?.close();
    find("app").hidden = true;
    for (const id of ["settings", "me", "logout"]) find(id).hidden = true;
    this.entry.show(this.state, why);
  }

  unlock() {
    this.isLocked = false;
    this.entry.hide();
    find("app").hidden = false;
    find("settings").hidden = find("me").hidden = false;
    find("logout").hidden = this.state.kind === "peer";
    this.moved();
  }

  async leave() {
    const problem = await logOut();
    if (problem !== "") return notice(problem, "error");
    this.forgetDrafts();
    this.chat.forget();
    return this.begin("You are logged out.");
  }

  forgetDrafts() {
    for (const id of this.store.conversations.keys()) ofTab.remove(`chat:draft:${this.chat.owner}:${id}`);
    ofTab.remove(LAST);
  }

  showConnection() {
    const {
      connection: { name },
      me,
    } = this.store;
    find("me").textContent = me === null ? "" : clean(me.name);
    if (name === "online" && me !== null && find("app").hidden) this.unlock();
    if (name === "waiting" && find("app").hidden && !this.isLocked)
      this.entry.showTrouble(() => this.chat.socket.start());
    if (name === "ended" && this.chat.owner !== null && !this.isLocked) this.ended();
  }

  // 4401: the server does not know us any more. The state tells what it wants instead.
  async ended() {
    this.isLocked = true;
    dropToken();
    this.state = await askState().catch(() => this.state);
    this.lock(WHY_ENDED[this.state.kind]);
  }

  // -- which conversation ------------------------------------------------------------------------------------------

  moved() {
    if (takeToken()) return this.begin();
    if (find("app").hidden) return undefined;
    const { to, join, invite } = route();
    if (join !== undefined) return this.invited(join, invite);
    if (to === undefined && !narrow.matches) return this.openFirst();
    return this.open(to ?? null);
  }

  invited(join, invite) {
    goInstead(null);
    new JoinDialog(this.chat, { join, invite });
  }

  openFirst() {
    const { conversations } = this.store;
    const last = ofTab.get(LAST);
    const first = conversations.has(last) ? last : [...conversations.keys()].sort()[0];
    if (first === undefined) this.open(null);
    else goInstead(first);
  }

  open(id) {
    if (id === this.store.current && document.body.dataset.view !== "start") return undefined;
    const isKnown = id !== null && (this.store.conversations.has(id) || /^@./.test(id));
    if (id?.startsWith("#") && !isKnown) return this.invited(id.slice(1));
    const shown = isKnown ? id : null;
    this.window.keepPlace();
    document.body.dataset.view = shown === null ? "list" : "talk";
    const conversation = shown === null ? null : this.store.conversation(shown);
    this.store.show(shown);
    this.store.tell();
    this.composer.open(shown, conversation?.isChannel ? conversation.id : conversation?.title);
    this.window.open(shown);
    return this.arrive(conversation);
  }

  arrive(conversation) {
    if (conversation === null) return;
    ofTab.set(LAST, conversation.id);
    if (conversation.peer !== "")
      this.chat
        .open(conversation.peer)
        .catch((error) => error.code === "offline" || error.code === "lost" || notice(error.message, "error"));
    if (mouse.matches) this.composer.focus();
    else find("title").focus();
  }

  // The open one may go: left in another tab, put out of the channel.
  keepOpen() {
    const { current, conversations } = this.store;
    if (current === null || conversations.has(current) || find("app").hidden) return;
    this.store.show(null);
    document.body.dataset.view = "start"; // nothing is shown that could stay
    goInstead(null);
  }

  // -- keys --------------------------------------------------------------------------------------------------------

  pressed(event) {
    if (document.querySelector("dialog[open]") !== null || find("app").hidden) return;
    if (event.key === "Escape" && !event.isComposing) this.window.toEnd();
    else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) this.step(event);
  }

  step(event) {
    event.preventDefault();
    const links = [...document.querySelectorAll(".side a.row")];
    const here = links.findIndex((link) => link.hasAttribute("aria-current"));
    const there = links[(here + (event.key === "ArrowUp" ? -1 : 1) + links.length) % links.length];
    if (there !== undefined) location.hash = there.hash;
  }
}

new App().begin();
