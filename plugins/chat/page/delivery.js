// How far a message of mine has got, in words: {sign, short, long, isWrong}.

import { isolated } from "./names.js";

const NAMES = { queued: "queued", sent: "sent", delivered: "delivered", failed: "failed" };

// `state` is null while the server has not taken it.
export function delivery(state) {
  if (state === null || state === undefined)
    return { sign: "clock", short: "Waiting", long: "Waits here until there is a connection.", isWrong: false };
  const { state: name, delivered = 0, of = 0 } = state;
  const part = `${delivered} of ${of}`;
  if (name === "failed") {
    const short = of > 1 && delivered > 0 ? `Delivered ${part}, rest failed` : "Failed";
    return { sign: "wrong", short, long: "It did not arrive everywhere:", isWrong: true };
  }
  if (delivered > 0 && delivered >= of)
    return {
      sign: "all",
      short: of > 1 ? `Delivered ${part}` : "Delivered",
      long: "It has arrived.",
      isWrong: false,
    };
  if (name === "delivered" && of === 0)
    return { sign: "all", short: "Nobody else here", long: "There was nobody to send it to.", isWrong: false };
  if (delivered > 0)
    return { sign: "some", short: `Delivered ${part}`, long: "It has not arrived everywhere yet:", isWrong: false };
  if (name === "sent")
    return {
      sign: "sent",
      short: "Sent",
      long: "On its way. Who has it in their history is delivered.",
      isWrong: false,
    };
  return {
    sign: "clock",
    short: "Queued",
    long: "It goes as soon as there is a link, and waits until then.",
    isWrong: false,
  };
}

// A line for each recipient of whom something is known.
export function recipients(state, nameOf) {
  return (state?.reasons ?? []).map(({ peer, state: name, reason }) => {
    const words = [NAMES[name], reason].filter(Boolean).join(", ");
    return `${isolated(nameOf(peer))}: ${words || "not yet"}`;
  });
}
