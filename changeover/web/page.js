// The page: puts each picture that comes into its places.

import { Chart } from "./chart.js";
import { byId, make, mark, say, show } from "./dom.js";
import { History, RANGES } from "./history.js";
import { showGates, showMoves, showPhases } from "./phases.js";
import { listen } from "./stream.js";
import { showEvents, showFindings, showProcesses, showTables } from "./tables.js";
import { count, duration, moment, TONES } from "./wording.js";

const QUESTIONS = [
  ["how_far", "How far?"],
  ["how_far_behind", "How far behind?"],
  ["is_it_right", "Is it right?"],
  ["may_i_go_on", "May I go on?"],
  ["can_i_go_back", "Can I go back?"],
];

const history = new History();
const charts = [
  new Chart(byId("lag"), {
    name: "Lag",
    unit: "the worst of each stretch of time",
    lines: [{ name: "lag", of: (points) => history.lag(points) }],
    words: (value) => duration(value / 1000),
    steps: "time",
  }),
  new Chart(byId("pace"), {
    name: "Changes a second",
    unit: "captured from the source, and applied to the target",
    lines: [
      { name: "captured", of: (points) => history.pace(points, "captured") },
      { name: "applied", of: (points) => history.pace(points, "applied") },
    ],
    words: (value) => count(value),
    steps: "count",
  }),
];
let range = RANGES[0];

function drawCharts() {
  const { points, from_ms, to_ms, width_ms } = history.within(range);
  for (const chart of charts) chart.show({ points, from_ms, to_ms, width_ms });
}

function makeRanges() {
  const buttons = RANGES.map((one) => {
    const button = make("button", { type: "button", "aria-pressed": String(one === range) }, one.name);
    button.addEventListener("click", () => {
      range = one;
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      drawCharts();
    });
    return button;
  });
  byId("ranges").append(...buttons);
}

function showAnswers(list, answers) {
  show(list, QUESTIONS.map(([name, question]) => {
    const said = answers[name];
    return make(
      "div",
      { class: "answer", "data-tone": said.tone, id: `answer-${name}` },
      make("dt", {}, question),
      make("dd", {},
        make("strong", {}, mark(said.tone), said.words, make("span", { class: "unseen" }, ` (${TONES[said.tone]})`)),
        said.detail ? make("span", { class: "detail" }, said.detail) : null),
    );
  }));
}

function onPicture({ picture, events, last }) {
  history.add(last);
  document.title = `${picture.headline.words} - ${picture.pipeline} - changeover`;
  say(byId("pipeline"), picture.pipeline);
  say(byId("route"), `${picture.source} to ${picture.target}`);
  showHeadline(picture);
  showAnswers(document.querySelector(".answers"), picture.answers);
  showPhases(byId("phases"), picture.phase);
  showGates(byId("gates"), picture.phase);
  showMoves(byId("moves"), picture.phase);
  showTables(byId("tables"), picture.progress, picture.verified);
  byId("findings-part").hidden = !picture.verified?.findings_open;
  if (picture.verified?.findings_open) showFindings(byId("findings"), picture.verified);
  showProcesses(byId("processes"), picture.processes);
  showEvents(byId("events"), events);
  say(byId("totals"), picture.progress === null ? "" : totals(picture.progress));
  drawCharts();
}

function totals({ changes_captured: captured, records_applied: applied, stale }) {
  return `In all: ${count(captured)} changes captured, ${count(applied)} rows and changes applied, ${count(stale)} of them stale.`;
}

// Said aloud by a screen reader when it changes: so it has no figure that changes each second.
function showHeadline(picture) {
  const headline = byId("headline");
  headline.dataset.tone = picture.headline.tone;
  show(headline, make("span", {}, mark(picture.headline.tone), picture.headline.words),
    picture.trouble ? make("span", { class: "detail" }, picture.trouble) : null);
}

const FRESH = {
  live: { tone: "good", words: () => "live" },
  stale: { tone: "warn", words: (age) => `nothing new for ${age}` },
  gone: { tone: "bad", words: () => "no connection" },
  refused: { tone: "bad", words: () => "not let in" },
};

function onFreshness({ age_s, state, isFirst }) {
  const { tone, words } = FRESH[state];
  const isConnecting = isFirst && state === "gone" && age_s < 3;
  const age = duration(Math.floor(age_s));
  byId("pulse").dataset.tone = isConnecting ? "unknown" : tone;
  say(byId("pulse-words"), isConnecting ? "connecting" : words(age));
  const isOld = state !== "live" && !isConnecting;
  document.body.classList.toggle("old", isOld && !isFirst);
  byId("banner").hidden = !isOld;
  if (isOld) say(byId("banner"), warning(state, isFirst ? null : Date.now() - age_s * 1000));
}

function warning(state, seen_ms) {
  const figures = seen_ms === null ? "" : ` What you see is from ${moment(seen_ms)} and may be wrong now.`;
  switch (state) {
    case "stale": return `The page's server has had nothing new for a while.${figures}`;
    case "refused": return `The page's server does not let this browser in: reload to sign in.${figures}`;
    default: return `The page's server cannot be reached.${figures}`;
  }
}

makeRanges();
listen({ onHistory: (all) => { history.replace(all); drawCharts(); }, onPicture, onFreshness });
