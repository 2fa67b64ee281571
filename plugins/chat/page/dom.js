// Elements, made in one way. Text from anybody goes in as text: there is no way here to put in markup.

export const find = (id) => document.getElementById(id);

// make("button", {class: "plain", type: "button", onclick: …}, "Join", …). An attribute that is null, undefined or
// false is left out; `true` is an attribute without a value; a function is a listener.
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// The picture is a mask in the style sheet, so that it takes the colour of the text around it.
export const icon = (name) => make("span", { class: `icon icon-${name}`, "aria-hidden": "true" });

// What is shown in place of `parent`'s children, each with its own `key`: those of the last time are used again where
// their `look` is the same, so that focus, selection and place stay. `items` are {key, look, build: () => Element}.
export function reconcile(parent, items) {
  const known = parent.kept ?? new Map();
  const kept = new Map();
  let next = parent.firstChild;
  for (const { key, look, build } of items) {
    const before = known.get(key);
    const same = before !== undefined && before.look === look;
    const node = same ? before.node : build();
    if (!same && before !== undefined) {
      if (before.node === next) next = next.nextSibling;
      replace(before.node, node);
    } else if (node === next) {
      next = next.nextSibling;
    } else {
      parent.insertBefore(node, next);
    }
    kept.set(key, { node, look });
    known.delete(key);
  }
  for (const { node } of known.values()) node.remove();
  parent.kept = kept;
}

// The new one comes to the place of the old one, which takes the others around it along only by accident: a node that
// had the focus hands it on.
function replace(old, node) {
  const focused = old.contains(document.activeElement);
  old.replaceWith(node);
  if (focused) (node.matches("[tabindex],a,button") ? node : node.querySelector("a,button"))?.focus();
}
