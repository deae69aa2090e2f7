// A line chart over time. Read by eye, by mouse, by arrow keys, and by ear: it is a slider over its points, whose
// value is said in words. What is unknown is a hatched stretch, never a line.

import { draw, make } from "./dom.js";
import { moment, tick } from "./wording.js";

const HEIGHT = 190;
const MARGIN = { top: 12, right: 10, bottom: 24, left: 58 };
const LINES_OF_GRID = 4;
const NARROW = 420;
const UNKNOWN_WIDTHS = 1.5; // a point may come this many widths after the one before it

const TIME_STEPS = [50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3,
  3600e3, 7200e3, 21600e3, 43200e3, 86400e3, 172800e3, 604800e3];
const AXIS_STEPS = [10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 900e3, 1800e3, 3600e3, 7200e3];

export class Chart {
  constructor(box, { name, unit, lines, words, steps }) {
    Object.assign(this, { name, lines, words, steps });
    this.place = null; // the point that is pointed at; null: the newest
    this.readout = make("p", { class: "readout" });
    this.drawing = draw("svg", { "aria-hidden": "true", height: HEIGHT, width: "100%" });
    this.slider = make("div", { class: "plot", role: "slider", tabindex: "0", "aria-label": `${name}: ${unit}. Arrow keys go through the time shown.`, "aria-orientation": "horizontal" }, this.drawing);
    box.append(this.readout, this.slider);
    this.slider.addEventListener("keydown", (event) => this.key(event));
    this.slider.addEventListener("pointermove", (event) => this.point(event));
    this.slider.addEventListener("pointerleave", () => this.go(null));
    this.slider.addEventListener("blur", () => this.go(null));
    new ResizeObserver(() => this.render()).observe(box);
  }

  /** Draw these points. */
  show(shown) {
    // Who points at a moment goes on pointing at it while new points come.
    const at_ms = this.place === null ? null : this.shown.points[this.place]?.at_ms;
    this.shown = { ...shown, values: this.lines.map((line) => line.of(shown.points)) };
    const place = shown.points.findIndex((point) => point.at_ms === at_ms);
    this.place = at_ms === null || place < 0 ? null : place;
    this.render();
  }

  key(event) {
    const last = this.shown.points.length - 1;
    const now = this.place ?? last;
    const next = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, PageUp: now + 10,
      PageDown: now - 10, Home: 0, End: last, Escape: null }[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.go(next === null ? null : Math.max(0, Math.min(last, next)));
  }

  point(event) {
    if (!this.shown?.points.length) return;
    const x = event.clientX - this.slider.getBoundingClientRect().left;
    const distances = this.shown.points.map((point) => Math.abs(this.x(point.at_ms) - x));
    this.go(distances.indexOf(Math.min(...distances)));
  }

  go(place) {
    if (place === this.place || !this.shown) return;
    this.place = place;
    this.render();
  }

  x(at_ms) {
    const { from_ms, to_ms } = this.shown;
    return MARGIN.left + ((at_ms - from_ms) / (to_ms - from_ms)) * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    return HEIGHT - MARGIN.bottom - (value / this.top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  }

  render() {
    this.width = this.slider.clientWidth;
    if (!this.shown || !this.width) return;
    const known = this.shown.values.flat().filter((value) => value !== null);
    this.step = stepFor(known.reduce((a, b) => Math.max(a, b), 0), this.steps);
    this.top = this.step * LINES_OF_GRID;
    this.drawing.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.drawing.replaceChildren(hatch(), ...this.grid(), ...this.unknown(), ...this.paths(), ...this.cursor());
    this.tell(known);
  }

  grid() {
    const parts = [];
    for (let line = 0; line <= LINES_OF_GRID; line += 1) {
      const y = this.y(line * this.step);
      parts.push(draw("line", { class: line ? "grid" : "axis", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y, y2: y }));
      parts.push(draw("text", { class: "label", x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, line ? this.words(line * this.step) : "0"));
    }
    const { from_ms, to_ms } = this.shown;
    const ticks = this.width < NARROW ? 3 : 6;
    const step = AXIS_STEPS.find((one) => (to_ms - from_ms) / one <= ticks) ?? AXIS_STEPS.at(-1);
    const offset_ms = new Date(to_ms).getTimezoneOffset() * 60000;
    for (let at = Math.ceil((from_ms - offset_ms) / step) * step + offset_ms; at <= to_ms; at += step) {
      const x = this.x(at);
      if (x > this.width - 24) continue;
      parts.push(draw("line", { class: "axis", x1: x, x2: x, y1: HEIGHT - MARGIN.bottom, y2: HEIGHT - MARGIN.bottom + 4 }));
      parts.push(draw("text", { class: "label", x, y: HEIGHT - 6, "text-anchor": "middle" }, tick(at, step < 60000)));
    }
    return parts;
  }

  /** Stretches of which nothing is known: before the first point, and between points. */
  unknown() {
    const { points, values, from_ms, to_ms, width_ms } = this.shown;
    const spans = [];
    let since = from_ms;
    points.forEach((point, at) => {
      // The first point of a pace has nothing before it: it is no gap.
      const isKnown = values.some((line) => line[at] !== null || (at === 0 && line[1] !== undefined && line[1] !== null));
      if (isKnown) {
        if (point.at_ms - since > width_ms * UNKNOWN_WIDTHS) spans.push([since, point.at_ms]);
        since = point.at_ms + width_ms;
      }
    });
    if (to_ms - since > width_ms / 2) spans.push([since, to_ms]);
    return spans.map(([begin, end]) => draw("rect", {
      class: "unknown", x: this.x(begin), width: Math.max(1, this.x(end) - this.x(begin)),
      y: MARGIN.top, height: HEIGHT - MARGIN.top - MARGIN.bottom,
    }));
  }

  paths() {
    return this.shown.values.flatMap((values, line) => {
      const runs = this.runs(values);
      const kind = `line line-${line}`;
      const parts = runs.map((run) => draw("path", { class: kind, d: `M${run.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}` }));
      if (this.lines.length === 1) {
        const base = this.y(0);
        parts.unshift(...runs.map((run) => draw("path", {
          class: "area",
          d: `M${run[0][0].toFixed(1)},${base}L${run.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}L${run.at(-1)[0].toFixed(1)},${base}Z`,
        })));
      }
      return parts;
    });
  }

  /** The known points of a line in unbroken runs. */
  runs(values) {
    const runs = [];
    let before_ms = null;
    this.shown.points.forEach((point, at) => {
      const value = values[at];
      if (value === null) {
        before_ms = null;
        return;
      }
      if (before_ms === null || point.at_ms - before_ms > this.shown.width_ms * UNKNOWN_WIDTHS) runs.push([]);
      runs.at(-1).push([this.x(point.at_ms), this.y(value)]);
      before_ms = point.at_ms;
    });
    return runs;
  }

  cursor() {
    const point = this.place === null ? null : this.shown.points[this.place];
    if (!point) return [];
    const x = this.x(point.at_ms);
    const dots = this.shown.values.map((values, line) => (values[this.place] === null ? null : draw("circle", {
      class: `dot line-${line}`, cx: x, cy: this.y(values[this.place]), r: 4,
    })));
    return [draw("line", { class: "cursor", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }), ...dots.filter(Boolean)];
  }

  tell(known) {
    const last = this.shown.points.length - 1;
    const place = this.place ?? last;
    const point = this.shown.points[place];
    const said = this.lines.map(({ name }, line) => {
      const value = point ? this.shown.values[line][place] : null;
      return `${this.lines.length > 1 ? `${name} ` : ""}${value === null ? "unknown" : this.words(value)}`;
    }).join(", ");
    const when = this.place === null || !point ? "now" : moment(point.at_ms);
    const worst = known.length ? this.words(known.reduce((a, b) => Math.max(a, b), 0)) : "unknown";
    if (this.lines.length === 1) {
      this.readout.replaceChildren(make("span", {}, `${when} `, make("strong", {}, said)), make("span", { class: "quiet" }, `most ${worst}`));
    } else {
      this.readout.replaceChildren(make("span", {}, `${when} `), ...this.lines.map(({ name }, line) => {
        const value = point ? this.shown.values[line][place] : null;
        return make("span", { class: "key" }, draw("svg", { width: 22, height: 8, "aria-hidden": "true" }, draw("path", { class: `line line-${line}`, d: "M1,4H21" })), `${name} `, make("strong", {}, value === null ? "unknown" : this.words(value)));
      }));
    }
    this.slider.setAttribute("aria-valuemin", "0");
    this.slider.setAttribute("aria-valuemax", String(Math.max(0, last)));
    this.slider.setAttribute("aria-valuenow", String(Math.max(0, place)));
    const text = `${when}: ${said}`;
    // Said again only when somebody goes through the points, not each second.
    if (this.place !== null || document.activeElement !== this.slider) this.slider.setAttribute("aria-valuetext", text);
  }
}

function hatch() {
  return draw("defs", {}, draw("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    draw("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 })));
}

function stepFor(most, kind) {
  const least = most / LINES_OF_GRID;
  if (kind === "time") return TIME_STEPS.find((step) => step >= least) ?? Math.ceil(least / 604800e3) * 604800e3;
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least) ?? power * 10;
}
