// The connection to the server: it comes back by itself, and says how it is.
//
//   connecting --welcome--> online --lost--> waiting --time, network, a look at the page--> connecting
//   any --4401--> ended (log in again)        any --4409--> taken (another program has the place)
//
// A request has a number (`ref`) and is answered by one `done` or `failed`. What was under way when the connection was
// lost fails with the code "lost"; only messages (`say`) are repeated, by the outbox.

const PROTOCOL = "reactor-chat.1";
const WAITS = [0.5, 1, 2, 4, 8, 15, 30]; // seconds; each give or take a quarter, so that a room does not come at once
const WELCOME = 10_000; // ms until which the server has to have answered `hello`
const SILENCE = 20_000; // ms without a word after which we ask
const ANSWER = 10_000; // ms it has to answer
const DOUBT = 3_000; // the same, where the browser says that the network is gone
const ENDS = { 4401: "ended", 4409: "taken" };
const SLOWER = new Set([1008, 1013, 4408]); // our own fault, or a server with too much to do: not at once again

export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Socket {
  // `hello()` is the first message; `heard(message)` gets all but answers and pongs; `changed({name, at?})` the states.
  constructor({ url, hello, heard, changed }) {
    Object.assign(this, { url, hello, heard, changed });
    this.state = "ended"; // until `start`
    this.tries = 0;
    this.ref = 0;
    this.requests = new Map();
    this.webSocket = null;
    this.timer = null;
    addEventListener("online", () => this.hurry());
    addEventListener("offline", () => this.probe(DOUBT));
    addEventListener("pageshow", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  get isOnline() {
    return this.state === "online";
  }

  // Also again after `ended` and `taken`.
  start() {
    this.tries = 0;
    this.connect();
  }

  stop() {
    this.drop();
    this.enter("ended");
  }

  // Never fails for want of a connection: it is false then.
  send(message) {
    if (!this.isOnline) return false;
    this.webSocket.send(JSON.stringify(message));
    return true;
  }

  // A promise of the `done`. Failure: the server's code and words, or "offline", or "lost".
  request(message) {
    const ref = ++this.ref;
    if (!this.send({ ...message, ref })) {
      return Promise.reject(new Failure("offline", "There is no connection just now. Try again when it is back."));
    }
    return new Promise((resolve, reject) => this.requests.set(ref, { resolve, reject }));
  }

  // At once, where it waits.
  hurry() {
    if (this.state === "waiting") this.start();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  connect() {
    this.drop();
    this.enter("connecting");
    let webSocket;
    try {
      webSocket = new WebSocket(this.url, PROTOCOL);
    } catch {
      this.lost(0);
      return;
    }
    this.webSocket = webSocket;
    this.deadline(WELCOME);
    const mine = (listener) => (event) => webSocket === this.webSocket && listener(event);
    webSocket.onopen = mine(() => webSocket.send(JSON.stringify({ type: "hello", ...this.hello() })));
    webSocket.onmessage = mine((event) => this.read(event.data));
    webSocket.onclose = mine((event) => this.lost(event.code));
  }

  read(data) {
    const message = JSON.parse(data);
    this.listen();
    if (message.type === "welcome") this.welcomed(message);
    else if (message.type === "done" || message.type === "failed") this.answered(message);
    else if (message.type !== "pong") this.heard(message);
  }

  welcomed(message) {
    this.tries = 0;
    this.state = "online"; // before the message is heard: what it makes others send can go
    this.listen();
    this.heard(message);
    this.enter("online");
  }

  answered({ type, ref, code, message, ...rest }) {
    const request = this.requests.get(ref);
    this.requests.delete(ref);
    if (type === "done") request?.resolve(rest);
    else request?.reject(new Failure(code ?? "failed", message ?? "The server said no, and not why."));
  }

  lost(code) {
    this.drop();
    if (code in ENDS) {
      this.enter(ENDS[code]);
      return;
    }
    const step = SLOWER.has(code) ? Math.max(this.tries, 3) : this.tries;
    const wait = WAITS[Math.min(step, WAITS.length - 1)] * 1000 * (0.75 + Math.random() / 2);
    this.tries = step + 1;
    this.timer = setTimeout(() => this.connect(), wait);
    this.enter("waiting", { at: Date.now() + wait });
  }

  drop() {
    clearTimeout(this.timer);
    const before = this.webSocket;
    this.webSocket = null;
    before?.close();
    const open = [...this.requests.values()];
    this.requests.clear();
    for (const { reject } of open) reject(new Failure("lost", "The connection was lost before the answer came."));
  }

  enter(state, more = {}) {
    this.state = state;
    this.changed({ name: state, ...more });
  }

  // -- silence -----------------------------------------------------------------------------------------------------

  listen() {
    if (!this.isOnline) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.probe(ANSWER), SILENCE);
  }

  probe(patience) {
    if (!this.send({ type: "ping" })) return;
    this.deadline(patience);
  }

  // A tab that was asleep does not know how long the line has been dead.
  look() {
    if (this.isOnline) this.probe(DOUBT);
    else this.hurry();
  }

  deadline(patience) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.lost(0), patience);
  }
}
