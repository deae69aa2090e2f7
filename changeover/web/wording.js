// Figures as people read them. What is null is unknown, never 0.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const clockOfDay = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

/** A number with its thousands apart. */
export function count(number) {
  return number === null ? "unknown" : whole.format(number);
}

/** Seconds in their two largest units. */
export function duration(seconds) {
  if (seconds === null) return "unknown";
  if (seconds < 1) return `${Math.round(Math.max(0, seconds) * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  let left = Math.floor(seconds);
  const parts = [];
  for (const [size, unit] of UNITS) {
    const number = Math.floor(left / size);
    left %= size;
    if (number || parts.length) parts.push([number, unit]);
  }
  return parts.slice(0, 2).filter(([number]) => number).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

/** A moment of today by the clock, of another day with its day. */
export function moment(ms) {
  const date = new Date(ms);
  const today = new Date().toDateString() === date.toDateString();
  return (today ? clock : dayAndClock).format(date);
}

/** A place on a time axis. */
export function tick(ms, fine) {
  return (fine ? clock : clockOfDay).format(new Date(ms));
}

/** Words for a tone, for those who see neither colour nor shape. */
export const TONES = { good: "good", busy: "in progress", warn: "attention", bad: "bad", unknown: "unknown" };
