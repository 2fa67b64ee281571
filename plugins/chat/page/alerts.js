// How a person who looks elsewhere hears of a message: the count in the title, a short tone (off at first), a desktop
// notification (after asking, and only where the browser has them: not on plain http).

import { find } from "./dom.js";
import { clean, isolated } from "./names.js";
import { ofBrowser } from "./storage.js";

const SETTINGS = "chat:alerts";
const QUIET = 1500; // ms between two tones
const LONGEST = 140; // characters of a notification

export class Alerts {
  // `open(id)` shows a conversation.
  constructor(store, open) {
    Object.assign(this, { store, open, audio: null, last: 0 });
    this.settings = { sound: false, desktop: false, ...ofBrowser.get(SETTINGS) };
    store.subscribe(["conversations", "me"], () => this.showTitle());
    store.arrivals.push((message, conversation) => this.arrived(message, conversation));
    // A browser lets no page make a sound before somebody has touched it.
    for (const event of ["pointerdown", "keydown"])
      addEventListener(event, () => this.settings.sound && this.prepare(), { once: true });
  }

  // Notification exists on plain http in some browsers, and refuses there.
  static get canNotify() {
    return "Notification" in window && window.isSecureContext;
  }

  // -- settings ----------------------------------------------------------------------------------------------------

  setSound(isOn) {
    this.keep({ sound: isOn });
    if (!isOn) return;
    this.prepare();
    this.tone();
  }

  // Whether it is on now: the browser has asked the person.
  async setDesktop(isOn) {
    const isAllowed = isOn && (await Notification.requestPermission()) === "granted";
    this.keep({ desktop: isAllowed });
    return isAllowed;
  }

  get isDesktopOn() {
    return this.settings.desktop && Alerts.canNotify && Notification.permission === "granted";
  }

  keep(changed) {
    Object.assign(this.settings, changed);
    ofBrowser.set(SETTINGS, this.settings);
  }

  // -- title -------------------------------------------------------------------------------------------------------

  showTitle() {
    const { unread, current, conversations } = this.store;
    const shown = conversations.get(current);
    const name = shown === undefined ? "" : `${isolated(shown.isChannel ? shown.id : shown.title)} · `;
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${name}Chat`;
    const picture = unread > 0 ? "icons/chat-unread.svg" : "icons/chat.svg";
    if (find("favicon").getAttribute("href") !== picture) find("favicon").setAttribute("href", picture);
  }

  // -- a message has come ------------------------------------------------------------------------------------------

  arrived(message, conversation) {
    const isLooking = !document.hidden && document.hasFocus();
    if (this.store.people.get(message.from)?.muted || (isLooking && conversation.id === this.store.current)) return;
    if (this.settings.sound) this.tone();
    if (this.isDesktopOn && !isLooking) this.notify(message, conversation);
  }

  notify({ name, text }, { id, title, peer }) {
    const where = peer === "" ? ` in ${isolated(title)}` : "";
    try {
      const shown = new Notification(`${isolated(name)}${where}`, { body: clean(text).slice(0, LONGEST), tag: id });
      shown.onclick = () => {
        window.focus();
        this.open(id);
        shown.close();
      };
    } catch {
      this.keep({ desktop: false }); // Android's browsers have the name, and want a service worker
    }
  }

  prepare() {
    const Audio = window.AudioContext ?? window.webkitAudioContext;
    if (Audio === undefined) return;
    this.audio ??= new Audio();
    if (this.audio.state === "suspended") this.audio.resume();
  }

  // Two soft notes, a fifth apart.
  tone() {
    if (this.audio === null || (this.audio.state !== "running" && this.audio.state !== "suspended")) return;
    if (Date.now() - this.last < QUIET) return;
    this.last = Date.now();
    for (const [hertz, after] of [
      [587.3, 0],
      [880, 0.09],
    ])
      this.note(hertz, this.audio.currentTime + after);
  }

  note(hertz, start) {
    const [source, volume] = [this.audio.createOscillator(), this.audio.createGain()];
    source.frequency.value = hertz;
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(0.12, start + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.28);
    source.connect(volume).connect(this.audio.destination);
    source.start(start);
    source.stop(start + 0.3);
  }
}
