// Where in the page: which conversation is shown stands behind the # of the address, so that "back" works, on a phone
// above all. A fragment is never sent to a server.

export const hrefOf = (id) => `#to=${encodeURIComponent(id)}`;

// {to} | {join, invite} | {} for the list of conversations.
export function route(hash = location.hash) {
  const fields = new URLSearchParams(hash.slice(1).replaceAll("+", "%2B"));
  return Object.fromEntries(
    ["to", "join", "invite"].filter((name) => fields.get(name)).map((name) => [name, fields.get(name)]),
  );
}

export function inviteLink(channel, invite) {
  const [name, code] = [encodeURIComponent(channel), encodeURIComponent(invite)];
  return `${location.origin}${location.pathname}#join=${name}&invite=${code}`;
}

export function go(id) {
  location.hash = hrefOf(id);
}

// Without a step that "back" would return to.
export function goInstead(id) {
  history.replaceState(null, "", id === null ? location.pathname + location.search : hrefOf(id));
  dispatchEvent(new HashChangeEvent("hashchange"));
}
