// Times in the reader's zone and in the words of the reader's language.

const LANGUAGE = undefined; // the browser's own
const clock = new Intl.DateTimeFormat(LANGUAGE, { hour: "2-digit", minute: "2-digit" });
const thisYear = new Intl.DateTimeFormat(LANGUAGE, { weekday: "long", day: "numeric", month: "long" });
const anyYear = new Intl.DateTimeFormat(LANGUAGE, { day: "numeric", month: "long", year: "numeric" });
const exact = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "full", timeStyle: "medium" });
const near = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: "auto" });

export const language = clock.resolvedOptions().locale;

// A time that a stranger's clock or program has made up may be no time at all: then it is now.
export function instant(iso, now = new Date()) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? now : at;
}

export const clockTime = (at) => clock.format(at);
export const exactTime = (at) => exact.format(at);

// The day as a number that grows by one each midnight of the reader, whatever the length of that day.
export function dayNumber(at) {
  return Math.floor(Date.UTC(at.getFullYear(), at.getMonth(), at.getDate()) / 86_400_000);
}

// "today", "yesterday", then the weekday and date; the year where it is another.
export function dayName(at, now = new Date()) {
  const distance = dayNumber(at) - dayNumber(now);
  if (distance === 0 || distance === -1) return capital(near.format(distance, "day"));
  return (at.getFullYear() === now.getFullYear() ? thisYear : anyYear).format(at);
}

export function untilMidnight(now = new Date()) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1) - now;
}

const capital = (text) => text.charAt(0).toLocaleUpperCase(language) + text.slice(1);
