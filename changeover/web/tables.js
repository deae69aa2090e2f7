// The tables: import by table, processes, events.

import { make, mark, show } from "./dom.js";
import { count, duration, moment, TONES } from "./wording.js";

/** Draw the import table by table. */
export function showTables(box, progress, verified) {
  if (progress === null) {
    show(box, unknown("Nothing is known of the tables now."));
  } else if (!progress.tables.length) {
    showVerdicts(box, progress, verified);
  } else {
    show(box, table(
      "How far each table's import is, and whether it is right",
      [["Table"], ["Copied"], ["Rows", "number"], ["Time left", "number"], ["Verdict", "verdict"]],
      progress.tables.map((one) => [...rowOfTable(one), verdictOf(verified.tables[one.name])]),
    ));
  }
}

function rowOfTable(one) {
  const share = one.rows_expected ? Math.min(one.rows_copied / one.rows_expected, 1) : one.is_done ? 1 : 0;
  const percent = one.is_done ? 100 : Math.min(99, Math.floor(share * 100));
  const bar = make("progress", { max: 100, value: percent, "aria-label": `${one.name}: ${percent} % copied` });
  const rows = one.is_done ? count(one.rows_copied) : `${count(one.rows_copied)} of about ${count(one.rows_expected)}`;
  return [
    make("th", { scope: "row" }, one.name),
    make("td", { class: "bar" }, bar, make("span", {}, `${percent} %`)),
    make("td", { class: "number" }, rows),
    make("td", { class: "number" }, one.is_done ? make("span", {}, mark("good"), "copied") : duration(one.eta_s)),
  ];
}

/** Where another tool has made the copy, or none has begun, there are verdicts alone. */
function showVerdicts(box, progress, verified) {
  const tables = Object.entries(verified.tables);
  if (!tables.length) {
    show(box, unknown(progress.imports ? "No table has been enrolled yet." : "Another tool makes the copy."));
    return;
  }
  show(box, table("Whether each table is right", [["Table"], ["Verdict", "verdict"]],
    tables.map(([name, verdict]) => [make("th", { scope: "row" }, name), verdictOf(verdict)])));
}

function verdictOf(verdict) {
  if (!verdict) return make("td", { class: "verdict" }, mark("unknown"), "unknown");
  const age = verdict.age_ms === null ? "" : `as of ${duration(verdict.age_ms / 1000)} ago`;
  return make("td", { class: "verdict" }, mark(verdict.tone), verdict.words,
    make("span", { class: "under" }, verdict.tone === "good" ? age : verdict.why || age));
}

/** Draw the keys that differ: their number and a hash, never the key. */
export function showFindings(box, verified) {
  const { findings, findings_open: open } = verified;
  show(box,
    make("p", { class: "quiet" }, `${count(open)} open${open > findings.length ? `, the first ${findings.length} here` : ""}. The values: changeover findings show NUMBER`),
    table(
      "Keys at which source and target differ",
      [["Number"], ["Table"], ["How"], ["Key's hash"], ["First seen", "number"], ["Last seen", "number"]],
      findings.map((one) => [
        make("th", { scope: "row" }, String(one.number)),
        make("td", {}, one.table),
        make("td", {}, mark("bad"), one.kind, one.columns.length ? make("span", { class: "under" }, one.columns.join(", ")) : null),
        make("td", {}, make("code", {}, one.key_hash)),
        make("td", { class: "number" }, moment(one.first_seen_ms)),
        make("td", { class: "number" }, moment(one.last_seen_ms)),
      ]),
    ));
}

/** Draw who was heard of, and when. */
export function showProcesses(box, processes) {
  if (processes === null) {
    show(box, unknown("Nothing is known of the processes now."));
  } else if (!processes.length) {
    show(box, unknown("No process has been heard of yet."));
  } else {
    show(box, table(
      "Processes and when they were last heard of",
      [["Process"], ["What it says"], ["Heard of", "number"]],
      processes.map((one) => [
        make("th", { scope: "row" }, mark(one.tone), one.name, unseenTone(one.tone), make("span", { class: "under" }, one.what)),
        make("td", {}, one.detail),
        make("td", { class: "number" }, `${duration(one.silent_ms / 1000)} ago`),
      ]),
    ));
  }
}

/** Draw what happened, newest first. */
export function showEvents(box, events) {
  show(box, make("ol", {}, events.map((event) => make(
    "li",
    {},
    make("time", { datetime: new Date(event.at_ms).toISOString() }, moment(event.at_ms)),
    make("span", { class: "event" }, mark(event.tone), make("span", {}, event.words, unseenTone(event.tone))),
  ))));
}

function unseenTone(tone) {
  return make("span", { class: "unseen" }, ` (${TONES[tone]})`);
}

function unknown(words) {
  return make("p", { class: "quiet" }, mark("unknown"), words);
}

function table(caption, heads, rows) {
  return make(
    "table",
    { class: "stacks" },
    make("caption", { class: "unseen" }, caption),
    make("thead", {}, make("tr", {}, heads.map(([words, kind]) => make("th", { scope: "col", class: kind }, words)))),
    make("tbody", {}, rows.map((cells) => make("tr", {}, cells))),
  );
}
