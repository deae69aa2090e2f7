// What the charts show: the points of the last hours. A stretch of time without a point is unknown.

export const RANGES = [
  { name: "15 min", ring: "fine", width_ms: 2000, count: 450 },
  { name: "6 h", ring: "coarse", width_ms: 20000, count: 1080 },
];

export class History {
  constructor() {
    this.rings = Object.fromEntries(RANGES.map(({ ring }) => [ring, []]));
  }

  /** Begin again with what the server has kept. */
  replace(all) {
    this.rings = all;
  }

  /** Take the newest point of each ring, which may be a newer state of the last one. */
  add(last) {
    for (const { ring, count } of RANGES) {
      const points = this.rings[ring];
      const point = last[ring];
      if (point === null) continue;
      if (points.length && points[points.length - 1].at_ms === point.at_ms) points.pop();
      points.push(point);
      if (points.length > count) points.shift();
    }
  }

  /** The points of a range, and its ends: at least a minute, at most the range, up to now. */
  within({ ring, width_ms, count }) {
    const points = this.rings[ring];
    const to_ms = points.length ? points[points.length - 1].at_ms + width_ms : Date.now();
    const first_ms = points.length ? points[0].at_ms : to_ms;
    const from_ms = Math.max(to_ms - width_ms * count, Math.min(first_ms, to_ms - 60000));
    return { points: points.filter((point) => point.at_ms >= from_ms), from_ms, to_ms, width_ms };
  }

  /** Lag by point. */
  lag(points) {
    return points.map((point) => point.lag_ms);
  }

  /** Changes a second by point; unknown where a count or the point before it is missing. */
  pace(points, name) {
    return points.map((point, at) => {
      const before = points[at - 1];
      if (!before || before[name] === null || point[name] === null) return null;
      return Math.max(0, point[name] - before[name]) / ((point.at_ms - before.at_ms) / 1000);
    });
  }
}
