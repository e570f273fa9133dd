/**
 * Plots as SVG text: line charts, and lanes of segments over time. Own fonts and colours only, so a file looks the same
 * wherever Markdown is shown; the background is white, since pages may be dark. Coordinates are px with one decimal.
 */

export interface Axis {
  readonly label: string;
  /** Logarithmic with ticks at the points' own values; left out: linear with round ticks. */
  readonly log?: boolean;
  /** Least upper bound. Left out: the largest value. */
  readonly upTo?: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LineChart {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface Segment {
  readonly from: number;
  readonly to: number;
  /** Index into the kinds of the chart. */
  readonly kind: number;
  /** Written into the segment where it fits. */
  readonly text: string;
}

export interface Lane {
  readonly name: string;
  readonly segments: readonly Segment[];
  /** Behind the end of the scale. Left out: nothing. */
  readonly note?: string;
}

export interface LaneChart {
  readonly title: string;
  readonly x: Axis;
  readonly kinds: readonly string[];
  readonly lanes: readonly Lane[];
}

/** Distinct for most colour-blind eyes (Okabe and Ito). */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#8c6d31'];
/** Lines of equal colour differ by their dashes. */
const dashes = ['', '6 3', '2 3'];

const width = 760;
const left = 64;
const top = 40;
const legendWidth = 200;
const plotHeight = 300;
const laneHeight = 26;
const laneGap = 10;
const laneNameWidth = 168;
const laneNoteWidth = 84;
const fontPx = 12;
/** Mean width of a digit, to see whether a text fits. */
const digitPx = 7;
const ticksWanted = 6;

/** A scale from values to px. */
interface Scale {
  readonly ticks: readonly number[];
  at(value: number): number;
}

export function lineChart({ title, x, y, series }: LineChart): string {
  const drawn = series.map(({ name, points }) => ({
    name,
    points: points.filter((point) => point.every(Number.isFinite)),
  }));
  const values = drawn.flatMap(({ points }) => points);
  const bottom = top + plotHeight;
  const right = width - legendWidth;
  const acrossX = scaleOf(
    x,
    values.map(([value]) => value),
    left,
    right,
  );
  const acrossY = scaleOf(
    y,
    values.map(([, value]) => value),
    bottom,
    top,
  );
  const parts = [
    ...acrossX.ticks.map((tick) => vertical(acrossX.at(tick), top, bottom, tick)),
    ...acrossY.ticks.map((tick) => horizontal(acrossY.at(tick), left, right, tick)),
    text((left + right) / 2, bottom + 36, x.label, 'middle'),
    text(left, top - 8, y.label, 'start'),
  ];
  for (const [index, { name, points }] of drawn.entries()) {
    const colour = colours[index % colours.length];
    const dash = dashes[Math.floor(index / colours.length) % dashes.length];
    const at = points.map(([px, py]) => [px1(acrossX.at(px)), px1(acrossY.at(py))] as const);
    const stroke = `stroke="${colour}" stroke-width="2" stroke-dasharray="${dash}"`;
    parts.push(`<polyline points="${at.map((point) => point.join(',')).join(' ')}" fill="none" ${stroke}/>`);
    for (const [cx, cy] of at) parts.push(`<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`);
    const legendY = top + 10 + index * 18;
    parts.push(
      `<line x1="${right + 14}" x2="${right + 38}" y1="${legendY - 4}" y2="${legendY - 4}" ${stroke}/>`,
      text(right + 44, legendY, name, 'start'),
    );
  }
  return svg(title, Math.max(bottom + 48, top + 20 + drawn.length * 18), parts);
}

export function laneChart({ title, x, kinds, lanes }: LaneChart): string {
  const bottom = top + lanes.length * (laneHeight + laneGap);
  const right = width - laneNoteWidth;
  const ends = lanes.flatMap(({ segments }) => segments.map(({ to }) => to));
  const across = scaleOf(x, ends, laneNameWidth, right);
  const parts = [
    ...across.ticks.map((tick) => vertical(across.at(tick), top - 6, bottom, tick)),
    text((laneNameWidth + right) / 2, bottom + 36, x.label, 'middle'),
  ];
  for (const [index, { name, segments, note = '' }] of lanes.entries()) {
    const y = top + index * (laneHeight + laneGap);
    parts.push(
      text(laneNameWidth - 10, y + laneHeight / 2 + 4, name, 'end'),
      text(right + 10, y + laneHeight / 2 + 4, note, 'start'),
    );
    for (const { from, to, kind, text: label } of segments) {
      const [x1, x2] = [across.at(from), across.at(to)];
      parts.push(
        `<rect x="${px1(x1)}" y="${y}" width="${px1(Math.max(0.5, x2 - x1 - 0.5))}" height="${laneHeight}" ` +
          `fill="${colours[kind % colours.length]}" fill-opacity="0.85"/>`,
      );
      if (label.length * digitPx < x2 - x1 - 2)
        parts.push(text((x1 + x2) / 2, y + laneHeight / 2 + 4, label, 'middle', '#ffffff'));
    }
  }
  for (const [kind, name] of kinds.entries()) {
    const legendX = laneNameWidth + kind * legendWidth;
    parts.push(
      `<rect x="${legendX}" y="${bottom + 46}" width="12" height="12" fill="${colours[kind % colours.length]}" fill-opacity="0.85"/>`,
      text(legendX + 18, bottom + 56, name, 'start'),
    );
  }
  return svg(title, bottom + 68, parts);
}

function scaleOf(
  { log = false, upTo }: Axis,
  values: readonly number[],
  fromPx: number,
  toPx: number,
): Scale {
  if (log && values.length > 0) {
    const ticks = [...new Set(values)].sort((a, b) => a - b);
    const [lowest, highest] = [Math.log(ticks[0]), Math.log(ticks[ticks.length - 1])];
    // A single value stands in the middle.
    const share = (value: number): number =>
      highest > lowest ? (Math.log(value) - lowest) / (highest - lowest) : 0.5;
    return { ticks, at: (value) => fromPx + share(value) * (toPx - fromPx) };
  }
  const highest = Math.max(upTo ?? 0, ...values, Number.MIN_VALUE);
  const step = roundStep(highest / ticksWanted);
  const end = upTo !== undefined && upTo >= highest ? upTo : Math.ceil(highest / step) * step;
  const ticks = Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, i) => i * step);
  return { ticks, at: (value) => fromPx + (value / end) * (toPx - fromPx) };
}

/** The next 1, 2 or 5 times a power of ten. */
export function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5].find((candidate) => candidate * power >= least * (1 - 1e-9)) ?? 10;
  return factor * power;
}

function vertical(x: number, from: number, to: number, tick: number): string {
  return `${rule(x, x, from, to)}${text(x, to + 18, tickText(tick), 'middle')}`;
}

function horizontal(y: number, from: number, to: number, tick: number): string {
  return `${rule(from, to, y, y)}${text(from - 8, y + 4, tickText(tick), 'end')}`;
}

function rule(x1: number, x2: number, y1: number, y2: number): string {
  return `<line x1="${px1(x1)}" x2="${px1(x2)}" y1="${px1(y1)}" y2="${px1(y2)}" stroke="#dddddd"/>`;
}

function text(x: number, y: number, words: string, anchor: string, colour = '#222222'): string {
  return `<text x="${px1(x)}" y="${px1(y)}" text-anchor="${anchor}" fill="${colour}">${escaped(words)}</text>`;
}

function svg(title: string, height: number, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
      `font-family="Helvetica, Arial, sans-serif" font-size="${fontPx}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="${width / 2}" y="16" text-anchor="middle" font-weight="bold" fill="#222222">${escaped(title)}</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function tickText(tick: number): string {
  return String(Number(tick.toPrecision(3)));
}

function px1(value: number): number {
  return Math.round(value * 10) / 10;
}
