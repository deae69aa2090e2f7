// The phase picture: the way from the old database to the new one, where we are on it, and what each stop means.

import { make, mark, show } from "./dom.js";
import { duration, moment } from "./wording.js";

const PHASES = [
  { name: "OLD", title: "Old", writes: "old", reads: "old" },
  { name: "BOTH_READ_OLD", title: "Both, read old", writes: "old, then new", reads: "old" },
  { name: "BOTH_READ_NEW", title: "Both, read new", writes: "old, then new", reads: "new" },
  { name: "FENCED", title: "Fence", writes: "nobody", reads: "new" },
  { name: "NEW", title: "New", writes: "new", reads: "new" },
];

/** Draw where the application is. */
export function showPhases(list, phase) {
  const place = phase ? PHASES.findIndex((one) => one.name === phase.now) : -1;
  show(list, PHASES.map((one, at) => stop(one, at, place, phase)));
}

function stop(one, at, place, phase) {
  const state = place < 0 ? "unknown" : at < place ? "past" : at === place ? "now" : "ahead";
  const words = { past: "passed", now: "here", ahead: "ahead", unknown: "unknown" }[state];
  return make(
    "li",
    { "data-state": state, class: one.name === "FENCED" ? "fence" : null, "aria-current": state === "now" ? "step" : null },
    make("span", { class: "dot", "aria-hidden": "true" }),
    make("span", { class: "phase-title" }, one.title, make("span", { class: "unseen" }, `, ${words}`)),
    make("span", { class: "phase-what" }, `writes ${one.writes}`),
    make("span", { class: "phase-what" }, `reads ${one.reads}`),
    state === "now" && phase.since_ms !== null ? make("span", { class: "phase-since" }, `since ${moment(phase.since_ms)}`) : null,
    state === "now" && phase.deadline_ms !== null ? make("span", { class: "phase-since" }, until(phase)) : null,
  );
}

function until(phase) {
  return phase.is_left_standing ? `its time was over at ${moment(phase.deadline_ms)}` : `until ${moment(phase.deadline_ms)} at most`;
}

/** List the gates of the way on; one that is shut says why, and what to do. */
export function showGates(box, phase) {
  if (phase === null) {
    show(box, make("p", { class: "quiet" }, mark("unknown"), "Nothing is known of the phase now."));
  } else if (phase.to === null) {
    show(box, make("p", { class: "quiet" }, mark("good"), "There is no further step."));
  } else if (phase.is_left_standing) {
    show(box, make("p", {}, mark("bad"), "Nobody passes the fence or undoes it. Type: ", make("code", {}, "changeover phase back")));
  } else if (phase.now === "FENCED") {
    show(box, make("p", { class: "quiet" }, mark("busy"), "The gates were judged before the fence."));
  } else if (phase.gates === null) {
    show(box, make("p", { class: "quiet" }, mark("unknown"), `The gates to ${phase.to} could not be judged.`));
  } else {
    const shut = phase.gates.filter((gate) => !gate.holds).length;
    show(box,
      make("h3", {}, `Gates to ${phase.to}: ${shut ? `${shut} of ${phase.gates.length} shut` : "all open"}`),
      make("ul", { class: "gate-list" }, phase.gates.map(gateRow)));
  }
}

/** List the moves that have led here; one that was forced says so for ever. */
export function showMoves(box, phase) {
  const moves = phase === null ? [] : phase.moves;
  show(box, moves.length ? [
    make("h3", {}, "Moves so far"),
    make("ol", { class: "moves" }, moves.map((move) => make(
      "li",
      {},
      make("time", { datetime: new Date(move.at_ms).toISOString() }, moment(move.at_ms)),
      make("span", {}, `${move.before} to ${move.after}`, make("span", { class: "quiet" }, ` by ${move.who}, in ${duration(move.took_ms / 1000)}`),
        move.forced === null ? null : make("span", { class: "forced" }, mark("warn"), `forced: ${move.forced}`)),
    ))),
  ] : []);
}

function gateRow(gate) {
  return make(
    "li",
    { "data-holds": String(gate.holds) },
    make("span", { class: "gate-name" }, mark(gate.holds ? "good" : "bad"), gate.name,
      make("span", { class: "unseen" }, gate.holds ? " (open)" : " (shut)")),
    make("span", { class: "gate-figure" }, gate.figure, make("span", { class: "quiet" }, ` (${gate.limit})`)),
    gate.reason ? make("span", { class: "gate-reason" }, gate.reason, make("span", { class: "quiet" }, `: ${gate.mend}`)) : null,
  );
}
