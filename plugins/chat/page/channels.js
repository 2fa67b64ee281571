// The dialogs about channels: join or start one; who may come in, invitations, leaving.

import { Dialog, button, field, form } from "./dialogs.js";
import { make } from "./dom.js";
import { go, inviteLink } from "./routes.js";

const MOST_SUGGESTED = 12;
const POLICIES = [
  ["open", "Open", "Whoever knows the name may join."],
  ["password", "With a password", "Whoever knows the password may join."],
  ["invited", "By invitation", "Each invitation lets one person in."],
];

// -- joining -------------------------------------------------------------------------------------------------------

export class JoinDialog {
  constructor(chat, { join = "", invite = "" } = {}) {
    this.chat = chat;
    this.dialog = new Dialog("Join a channel");
    this.name = field(
      "Name",
      { value: join, maxlength: 65, required: true, autocapitalize: "none", spellcheck: "false", autofocus: true },
      "One that nobody is in yet begins with you as its owner.",
    );
    this.password = field("Password", { type: "password", maxlength: 256, autocomplete: "off" });
    this.invite = field("Invitation", { value: invite, maxlength: 256, spellcheck: "false", autocapitalize: "none" });
    this.suggestions = make("div", {
      class: "chips",
      hidden: true,
      role: "group",
      "aria-label": "Channels of others",
    });
    this.password.label.hidden = true;
    this.invite.label.hidden = invite === "";
    const fields = [this.name.label, this.suggestions, this.password.label, this.invite.label];
    this.dialog.show(form(() => this.submit(), ...fields, make("button", { type: "submit" }, "Join")));
    this.suggest();
  }

  async suggest() {
    const known = this.chat.store.conversations;
    const names = (await this.chat.channels()).filter((name) => !known.has(`#${name}`)).slice(0, MOST_SUGGESTED);
    this.suggestions.replaceChildren(...names.map((name) => button(`#${name}`, () => this.choose(name), "chip")));
    this.suggestions.hidden = names.length === 0;
  }

  choose(name) {
    this.name.input.value = name;
    this.submit();
  }

  // A name is often written with its sign.
  get channel() {
    return this.name.input.value.trim().replace(/^#/, "");
  }

  async submit() {
    const { channel } = this;
    if (channel === "") return;
    const code = await this.dialog.attempt(() => this.join(channel));
    if (code === "wrong_password")
      this.ask(this.password, `#${channel} wants its password.`, `That is not the password of #${channel}.`);
    else if (code === "not_invited")
      this.ask(
        this.invite,
        `#${channel} lets in whom its owner has invited.`,
        `That is no invitation to #${channel}, or it was used already.`,
      );
  }

  async join(channel) {
    await this.chat.join(channel, { password: this.password.input.value, invite: this.invite.input.value.trim() });
    go(`#${channel}`);
  }

  ask({ label, input }, first, again) {
    this.dialog.wrong.textContent = label.hidden || input.value === "" ? first : again;
    label.hidden = false;
    input.focus();
    input.select();
  }
}

// -- one channel ---------------------------------------------------------------------------------------------------

export class ChannelDialog {
  constructor(chat, id) {
    this.chat = chat;
    this.channel = id.slice(1);
    this.told = chat.store.conversations.get(id);
    this.dialog = new Dialog(`#${this.channel}`);
    this.dialog.show(...(this.told.owner ? [this.policy(), this.invitation()] : [this.foreign()]), this.leaving());
  }

  foreign() {
    const words = POLICIES.find(([name]) => name === this.told.policy)?.[1].toLowerCase();
    return make(
      "p",
      {},
      words
        ? `This channel is ${words === "open" ? "open to all" : words}. Its owner decides that.`
        : "The owner of this channel decides who may join.",
    );
  }

  policy() {
    this.password = field(
      "New password",
      { type: "password", maxlength: 256, autocomplete: "new-password" },
      "Also the members are asked for it when they join anew.",
    );
    const radios = POLICIES.map(([name, words, about]) => this.choice(name, words, about));
    this.password.label.hidden = this.told.policy !== "password";
    return form(
      () => this.setPolicy(),
      make("fieldset", {}, make("legend", {}, "Who may join"), ...radios),
      this.password.label,
      make("button", { type: "submit", class: "plain" }, "Set"),
    );
  }

  choice(name, words, about) {
    const isNow = name === (this.told.policy ?? "open");
    const input = make("input", { type: "radio", name: "policy", value: name, checked: isNow });
    input.addEventListener("change", () => {
      this.password.label.hidden = name !== "password";
    });
    return make("label", { class: "choice" }, input, make("span", {}, words, make("small", {}, about)));
  }

  setPolicy() {
    const policy = this.dialog.element.querySelector("input[name=policy]:checked").value;
    const password = this.password.input.value;
    if (policy === "password" && password === "") {
      this.dialog.wrong.textContent = "Type the password that the channel is to have.";
      this.password.input.focus();
      return;
    }
    this.dialog.attempt(() => this.chat.setPolicy(this.channel, policy, policy === "password" ? password : ""));
  }

  invitation() {
    const place = make("div", { class: "invitation" });
    const create = () =>
      this.dialog.attempt(
        async () => place.replaceChildren(...this.invited(await this.chat.invite(this.channel))),
        true,
      );
    return make(
      "section",
      {},
      make("h3", {}, "Invite somebody"),
      make("p", {}, "An invitation lets one person in, whatever the rule above."),
      button("Create an invitation", create, "plain"),
      place,
    );
  }

  invited(code) {
    return [handOut("Link for a browser", inviteLink(this.channel, code)), handOut("Code for a terminal", code)];
  }

  leaving() {
    const sure = make(
      "p",
      { class: "row-of", hidden: true },
      "No more messages from here? ",
      button("Leave", () => this.leave(), "danger"),
    );
    const ask = button(
      `Leave #${this.channel}`,
      () => {
        sure.hidden = false;
        sure.querySelector("button").focus();
      },
      "plain danger",
    );
    return make("section", {}, ask, sure);
  }

  leave() {
    this.dialog.attempt(async () => {
      await this.chat.leave(this.channel);
      this.chat.store.forget(`#${this.channel}`);
    });
  }
}

// A field to take text from. The clipboard is there on secure addresses only; the selected text always is.
function handOut(words, text) {
  const { input, label } = field(words, { value: text, readonly: true, onfocus: () => input.select() });
  if (!navigator.clipboard) return label;
  const copy = button(
    "Copy",
    async () => {
      await navigator.clipboard.writeText(text).then(
        () => {
          copy.textContent = "Copied";
        },
        () => input.select(),
      );
    },
    "plain small",
  );
  return make("div", { class: "hand-out" }, label, copy);
}
