// The dialog about notifications, with the keys of the page.

import { Alerts } from "./alerts.js";
import { Dialog } from "./dialogs.js";
import { make } from "./dom.js";

const KEYS = [
  [["Enter"], "send"],
  [["Shift", "Enter"], "new line"],
  [["Alt", "↑"], "conversation above"],
  [["Alt", "↓"], "conversation below"],
  [["Esc"], "to the newest message"],
  [["↑", "↓"], "in the messages: from one to the next"],
];

export class SettingsDialog {
  constructor(alerts) {
    this.alerts = alerts;
    this.dialog = new Dialog("Notifications and keys");
    this.dialog.show(
      this.sound(),
      this.desktop(),
      make("section", { class: "bare for-keys" }, make("h3", {}, "Keys"), keys()),
    );
  }

  sound() {
    return check(
      "A short tone",
      "When a message comes that is not in front of you.",
      this.alerts.settings.sound,
      ({ target }) => this.alerts.setSound(target.checked),
    );
  }

  desktop() {
    const isBlocked = Alerts.canNotify && Notification.permission === "denied";
    const about = !Alerts.canNotify
      ? "Browsers have these only on https addresses and on localhost; this page has come by plain http."
      : isBlocked
        ? "Your browser has been told to refuse them from this address; its settings can change that."
        : "When this page is not in front. Your browser asks you once.";
    const change = async ({ target }) => {
      target.checked = await this.alerts.setDesktop(target.checked);
    };
    return check(
      "Notifications on the desktop",
      about,
      this.alerts.isDesktopOn,
      change,
      !Alerts.canNotify || isBlocked,
    );
  }
}

function check(words, about, isOn, onchange, isOff = false) {
  const input = make("input", { type: "checkbox", role: "switch", checked: isOn, disabled: isOff, onchange });
  return make("label", { class: "choice" }, input, make("span", {}, words, make("small", {}, about)));
}

function keys() {
  const rows = KEYS.map(([parts, words]) => [
    make("dt", {}, ...parts.flatMap((key) => [make("kbd", {}, key), " "])),
    make("dd", {}, words),
  ]);
  return make("dl", { class: "keys-list" }, ...rows.flat());
}
