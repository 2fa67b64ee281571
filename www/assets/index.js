// The page behind the login: who I am, and which peers the tracker knows, asked again every few seconds.
// What others have sent is only ever put in as text.

const SECONDS = 5;
const element = (id) => document.getElementById(id);

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (answer.status === 401) location.assign("/"); // logged out elsewhere: the login form
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function cell(text, name = "") {
  const made = document.createElement("td");
  made.textContent = text;
  made.className = name;
  return made;
}

function row(peer) {
  const made = document.createElement("tr");
  const host = peer.ip.includes(":") ? `[${peer.ip}]` : peer.ip;
  const channels = cell("");
  for (const name of peer.channels) {
    const tag = document.createElement("span");
    tag.className = "channel";
    tag.textContent = name;
    channels.append(tag);
  }
  made.append(cell(peer.username), cell(peer.peer_id, "address"), cell(`${host}:${peer.port}`, "address"), channels);
  return made;
}

function show({ peers }) {
  element("peers").replaceChildren(...peers.map(row));
  element("some").hidden = peers.length === 0;
  element("none").hidden = peers.length > 0;
  const known = peers.length === 0 ? "None is" : peers.length === 1 ? "One is" : `${peers.length} are`;
  element("count").textContent = `${known} registered with the tracker.`;
}

async function refresh() {
  try {
    show(await ask("/get-list"));
  } catch {
    element("count").textContent = "The tracker does not answer just now.";
  }
  setTimeout(refresh, SECONDS * 1000);
}

// The answer to the login is this page itself. Its address is put right, so that a reload does not log in again.
if (location.pathname.startsWith("/login")) history.replaceState(null, "", "/");
element("example").textContent = element("example").textContent.replace("http://127.0.0.1:8000", location.origin);
// Only where there is a chat: the plugin may be switched off.
fetch("/chat/state").then((answer) => { element("chat").hidden = !answer.ok; }, () => {});
ask("/whoami").then((me) => { element("name").textContent = me.username; }, () => {});
refresh();
