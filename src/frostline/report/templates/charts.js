"use strict";
const everything = JSON.parse(document.getElementById("chart-data").textContent);
const ice = "var(--ice-deep)", warm = "var(--warm-deep)", plain = "var(--plain)", muted = "var(--muted)";
const surface = "var(--surface)", narrow = 560;

// Estimates that are undefined stay in the tables; a chart has no place for them.
const defined = (points) => points.filter((point) => point.value !== null);
const bounded = (points) => defined(points).filter((point) => point.low !== null && point.high !== null);
const fill = { chosen: warm, tied: "var(--ice)", "": surface };
const base = (width, height, rest) => ({
  width, height, marginLeft: 56, marginRight: 16, marginTop: 24,
  style: { background: "none", fontFamily: "inherit", fontSize: "13px", fontVariantNumeric: "tabular-nums" },
  ...rest,
});
const rate = (metric) => metric !== "MCC";
const percent = (share) => {
  if (share === null || !Number.isFinite(share)) return "undefined";
  const text = (100 * share).toFixed(1);
  // As in words.py: the ends of the scale are for shares that reach them.
  return (share < 1 && text === "100.0" ? "> 99.9" : share > 0 && text === "0.0" ? "< 0.1" : text) + "\u00a0%";
};
const number = (value) => (value === null || !Number.isFinite(value) ? "undefined" : d3.format(".3~r")(value));
const worth = (metric, value) => (rate(metric) ? percent(value) : number(value));
const interval = (metric, { low, high }) =>
  (low === null || high === null ? "" : `\n95 % interval ${worth(metric, low)} to ${worth(metric, high)}`);
// Values under the pointer only, without a stop of the keyboard: the table below gives them to everybody.
const hover = (points, channels, text) => Plot.tip(points, Plot.pointer({
  ...channels, title: text, fill: surface, stroke: plain, textPadding: 10, lineHeight: 1.3,
}));

function depth(data, width) {
  const wide = width >= narrow, shift = wide ? 0.09 : 0.14;
  const candidates = defined(data.candidates), probes = defined(data.probes);
  const left = (point) => point.depth - shift, right = (point) => point.depth + shift;
  const stroke = (point) => (point.mark === "chosen" ? warm : ice);
  return [Plot.plot(base(width, 340, {
    marginBottom: 44, marginRight: wide && data.baselines.length ? 112 : 16,
    x: { label: "blocks frozen, from the input on", labelAnchor: "center", labelArrow: "none",
         domain: [-0.4, data.blocks - 0.4], ticks: d3.range(data.blocks), tickFormat: "d" },
    y: { label: `${data.metric}${rate(data.metric) ? ", %" : ""}`, labelArrow: "none", grid: true,
         percent: rate(data.metric), domain: data.axis.map((end) => end * (rate(data.metric) ? 100 : 1)), ticks: 6 },
    marks: [
      Plot.ruleY(data.baselines, { y: "value", stroke: muted, strokeDasharray: "2,4" }),
      Plot.text(data.baselines, { y: "value", text: "name", fill: muted, textAnchor: "start",
        frameAnchor: wide ? "right" : "left", dx: wide ? 8 : 2, dy: wide ? 0 : -8 }),
      Plot.line(probes, { x: right, y: "value", stroke: plain, strokeDasharray: "5,4" }),
      Plot.ruleX(bounded(probes), { x: right, y1: "low", y2: "high", stroke: plain, strokeOpacity: 0.6 }),
      Plot.dot(probes, { x: right, y: "value", r: 3, fill: surface, stroke: plain, strokeWidth: 1.5 }),
      Plot.line(candidates, { x: left, y: "value", stroke: ice, strokeWidth: 1.5, strokeOpacity: 0.5 }),
      Plot.ruleX(bounded(candidates), { x: left, y1: "low", y2: "high", stroke, strokeWidth: 2 }),
      Plot.dot(candidates, { x: left, y: "value", r: 6, fill: (point) => fill[point.mark], stroke, strokeWidth: 2 }),
      hover([...candidates.map((point) => ({ ...point, at: left(point), title: point.name })),
             ...probes.map((point) => ({ ...point, at: right(point), title: `linear probe after ${point.name}` }))],
        { x: "at", y: "value" },
        (point) => `${point.title}\n${data.metric} ${worth(data.metric, point.value)}${interval(data.metric, point)}`),
    ],
  }))];
}

// Small multiples: two beside each other where there is room, each under its own title.
const columns = (width) => (width < narrow ? 1 : 2);
const panelWidth = (width) => Math.floor((width - 32 * (columns(width) - 1)) / columns(width));
const title = (words) => Plot.text([words], {
  frameAnchor: "top-left", dy: -24, text: (own) => own, fontWeight: 600, fill: "currentColor",
});

function curves(data, width) {
  const last = d3.max(data.points, (point) => point.epoch);
  const panel = (kind, run) => {
    const points = data.points.map((point) => ({ ...point, value: point[kind] ?? NaN }));
    // A run that broke down at once has no finite loss at all.
    const domain = d3.nice(d3.min(points, (point) => point.value) ?? 0, d3.max(points, (point) => point.value) ?? 1, 5);
    const scale = kind === "accuracy" ? 100 : 1;
    const own = points.filter((point) => point.run === run);
    // Half an epoch to each side, so that what was seen in one epoch has a width; labels below each other.
    const end = Math.max(last, 1), seen = data.seen.filter((one) => one.run === run);
    const from = (one) => Math.max(one.first - 0.5, 0), to = (one) => Math.min(one.last + 0.5, end);
    const bands = Plot.rect(seen, { x1: from, x2: to, fill: "var(--warm)", fillOpacity: 0.14 });
    const labels = seen.map((one, row) => {
      const share = (from(one) + to(one)) / (2 * end);
      const side = share < 1 / 3 ? "start" : share > 2 / 3 ? "end" : "middle";
      return Plot.text([one], { x: { start: from, middle: () => share * end, end: to }[side], textAnchor: side,
        frameAnchor: "top", lineAnchor: "top", dy: 2 + 13 * row, text: "kind", fontSize: 11, fill: muted,
        stroke: surface, strokeWidth: 3 });
    });
    const marks = ["train", "validation"].flatMap((split) => {
      const shown = own.filter((point) => point.split === split);
      const stroke = split === "train" ? warm : ice;
      return [
        Plot.lineY(shown, {
          x: "epoch", y: "value", stroke, strokeWidth: 2, strokeDasharray: split === "train" ? "6,4" : null,
        }),
        Plot.dot(shown, { x: "epoch", y: "value", r: 3, fill: stroke }),
      ];
    });
    return Plot.plot(base(panelWidth(width), 250, {
      marginTop: 34, marginBottom: 40,
      x: { label: "epoch", labelAnchor: "center", labelArrow: "none", domain: [0, end],
           ticks: d3.ticks(0, last, Math.min(last, 8)), tickFormat: "d" },
      y: { label: null, grid: true, percent: scale === 100, domain: domain.map((end) => end * scale), ticks: 5 },
      marks: [
        title(`${kind === "loss" ? "Loss" : "Accuracy, %"}: ${run}`),
        bands,
        Plot.ruleX(data.best.filter((best) => best.run === run), { x: "epoch", stroke: muted }),
        ...marks,
        ...labels,
        hover(own.filter((point) => Number.isFinite(point.value)), { x: "epoch", y: "value" }, (point) =>
          `epoch ${point.epoch}\n${point.split} ${kind} ${kind === "loss" ? number(point.value) : percent(point.value)}`),
      ],
    }));
  };
  return ["loss", "accuracy"].flatMap((kind) => data.runs.map((run) => panel(kind, run)));
}

function contenders(data, width) {
  const stroke = (point) => (point.mark === "chosen" ? warm : ice);
  return data.metrics.map((metric) => {
    const panel = data.points.filter((point) => point.metric === metric);
    const inside = defined(panel).filter((point) => point.value >= data.start);
    const outside = panel.filter((point) => !inside.includes(point));
    return Plot.plot(base(panelWidth(width), data.names.length * 34 + 68, {
      marginLeft: 112, marginRight: 20, marginTop: 34, marginBottom: 34,
      x: { label: null, percent: true, domain: [100 * data.start, 100], grid: true, ticks: 4,
           tickFormat: (end) => `${end} %` },
      y: { label: null, domain: data.names, tickSize: 0 },
      marks: [
        title(metric),
        Plot.ruleY(bounded(inside), {
          y: "name", x1: (point) => Math.max(point.low, data.start), x2: "high", stroke, strokeWidth: 2,
        }),
        Plot.dot(inside, { y: "name", x: "value", r: 5, stroke, fill: (point) => fill[point.mark], strokeWidth: 2 }),
        Plot.text(outside, { y: "name", frameAnchor: "left", textAnchor: "start", dx: 6, fill: muted,
          text: (point) => (point.value === null ? point.text : `\u2190 ${point.text}`) }),
        hover(inside, { x: "value", y: "name" }, (point) => `${point.name}\n${metric} ${point.text}${interval(metric, point)}`),
      ],
    }));
  });
}

function costs(data, width) {
  const label = width < narrow ? 0 : 244;
  return [Plot.plot(base(width, data.bars.length * (label ? 40 : 58) + 12, {
    marginLeft: label || 4, marginRight: 96, marginTop: 4, marginBottom: 4,
    x: { axis: null, domain: [0, d3.max(data.bars, (bar) => bar.flops) || 1] },
    y: { label: null, domain: data.bars.map((bar) => bar.name), axis: label ? "left" : null, tickSize: 0,
         padding: label ? 0.35 : 0.5 },
    marks: [
      Plot.barX(data.bars, {
        y: "name", x: "flops", rx: 3, fill: (bar, index) => (index === 0 ? "var(--warm)" : "var(--ice)"),
      }),
      Plot.text(data.bars, { y: "name", x: "flops", text: "text", textAnchor: "start", dx: 8, fill: "currentColor" }),
      label ? null : Plot.text(data.bars, {
        y: "name", x: 0, text: "name", textAnchor: "start", dy: -22, fill: "currentColor",
      }),
    ],
  }))];
}

function pareto(data, width) {
  const scale = rate(data.metric) ? 100 : 1, stroke = (point) => (point.mark === "chosen" ? warm : ice);
  const at = { x: (point) => 100 * point.old, y: (point) => scale * point.new };
  const front = d3.sort(data.points.filter((point) => point.front), (point) => point.old);
  const chart = Plot.plot(base(width, 320, {
    marginBottom: 44, marginRight: 48,
    x: { label: "accuracy on the old task, %", labelAnchor: "center", labelArrow: "none", nice: true, ticks: 6 },
    y: { label: `${data.metric} on the new task${scale === 100 ? ", %" : ""}`, labelArrow: "none", grid: true,
         nice: true, ticks: 6 },
    marks: [
      data.before === null ? null : Plot.ruleX([100 * data.before], { stroke: muted, strokeDasharray: "2,4" }),
      data.before === null ? null : Plot.text([100 * data.before], {
        x: Number, frameAnchor: "top", dy: -14, text: () => "as pretrained", fill: muted }),
      Plot.line(front, { ...at, stroke: ice, strokeOpacity: 0.5, strokeWidth: 1.5 }),
      Plot.link(data.points, { x1: (point) => 100 * point.old_low, x2: (point) => 100 * point.old_high,
        y1: at.y, y2: at.y, stroke, strokeOpacity: 0.6 }),
      Plot.link(data.points, { x1: at.x, x2: at.x, y1: (point) => scale * point.new_low,
        y2: (point) => scale * point.new_high, stroke, strokeOpacity: 0.6 }),
      Plot.dot(data.points, { ...at, r: 5, fill: (point) => fill[point.mark], stroke, strokeWidth: 2 }),
      hover(data.points, at, (point) => `${point.name}\n${data.metric} on the new task ${worth(data.metric, point.new)}\n`
        + `accuracy on the old task ${percent(point.old)}`),
    ],
  }));
  const dots = data.points.map((point) => ({ text: point.name, chosen: point.mark === "chosen",
    px: chart.scale("x").apply(at.x(point)), py: chart.scale("y").apply(at.y(point)) }));
  write(chart, besideDots(dots, 56, width), "start");
  return [chart];
}

// Names near their dots, the chosen one's first, on no other name and no other dot, and below the front where there is
// room, for there its line is not. A name without room is left to the tip and the table.
function besideDots(dots, left, right) {
  const middle = (left + right) / 2, placed = [];
  for (const dot of d3.sort(dots, (one) => !one.chosen)) {
    const long = 7.6 * dot.text.length, after = dot.px + 9, before = dot.px - 9 - long;
    const sides = dot.px < middle ? [[after, 12], [before, 12], [after, -12]] : [[before, 12], [before, -12], [after, 12]];
    const spot = sides.map(([lx, dy]) => ({ ...dot, lx, ly: dot.py + dy, end: lx + long })).find((name) =>
      name.lx >= left && name.end <= right
      && placed.every((other) => Math.abs(other.ly - name.ly) > 15 || other.end < name.lx || other.lx > name.end)
      && dots.every(({ px, py }) => Math.abs(py - name.ly) > 11 || px < name.lx - 6 || px > name.end + 6));
    if (spot) placed.push(spot);
  }
  return placed;
}

// Both tasks on one axis where they have one unit: a point lost and a point kept are then as long.
function dial(data, width) {
  const one = rate(data.metric), panels = one ? [["new", "old"]] : [["new"], ["old"]];
  const metric = { new: data.metric, old: "Accuracy" }, colour = { new: ice, old: plain }, side = { new: -1, old: 1 };
  const name = { new: `${data.metric} on the new task`, old: "accuracy on the old task" };
  const shares = [...new Set(data.points.map((point) => point.share))], ends = { 0: "pretrained", 1: "fine-tuned" };
  const x = (point) => point.share + 0.005 * side[point.task] * one;
  return panels.map((tasks) => {
    const points = defined(data.points).filter((point) => tasks.includes(point.task));
    const percents = rate(metric[tasks[0]]), stroke = (point) => (point.chosen ? warm : colour[point.task]);
    return Plot.plot(base(one ? width : panelWidth(width), 320, {
      marginTop: 34, marginBottom: 44, marginRight: 40,
      x: { label: "share of the fine-tuned weights", labelAnchor: "center", labelArrow: "none", domain: [-0.02, 1.02],
           ticks: shares, tickFormat: (share) => ends[share] ?? `${100 * share}\u00a0%` },
      y: { label: one ? "%" : `${name[tasks[0]]}${percents ? ", %" : ""}`, labelArrow: "none", grid: true, nice: true,
           percent: percents, ticks: 6 },
      marks: [
        Plot.ruleX(points.filter((point) => point.chosen), { x: "share", stroke: warm, strokeDasharray: "2,4" }),
        ...tasks.flatMap((task) => {
          const own = points.filter((point) => point.task === task), old = task === "old";
          return [
            Plot.line(own, { x, y: "value", stroke: colour[task], strokeWidth: 2, strokeDasharray: old ? "6,4" : null }),
            Plot.ruleX(bounded(own), { x, y1: "low", y2: "high", stroke, strokeWidth: 2 }),
            Plot.dot(own, { x, y: "value", r: 5, symbol: old ? "square" : "circle", stroke, strokeWidth: 2,
              fill: (point) => (point.chosen ? warm : surface) }),
          ];
        }),
        hover(points, { x, y: "value" }, (point) =>
          `${ends[point.share] ?? `${percent(point.share)} fine-tuned`}${point.chosen ? ", chosen" : ""}\n`
          + `${name[point.task]} ${worth(metric[point.task], point.value)}${interval(metric[point.task], point)}`),
      ],
    }));
  });
}

// The share that came true against the score, both in percent; on the diagonal a score is a probability.
function calibration(data, width) {
  const size = Math.min(width, 440), most = d3.max(data.bins, (bin) => bin.examples);
  const at = { x: (bin) => 100 * bin.value, y: (bin) => 100 * bin.observed };
  return [Plot.plot(base(size, Math.min(size, 380), {
    marginBottom: 44,
    x: { label: `${data.score}, %`, labelAnchor: "center", labelArrow: "none", domain: [0, 100], ticks: 5 },
    y: { label: `${data.observed}, %`, labelArrow: "none", grid: true, domain: [0, 100], ticks: 5 },
    r: { domain: [0, most], range: [0, 7] },
    marks: [
      Plot.line([[0, 0], [100, 100]], { stroke: muted, strokeDasharray: "2,4" }),
      Plot.line(data.bins, { ...at, stroke: warm, strokeOpacity: 0.5 }),
      Plot.dot(data.bins, { ...at, r: "examples", fill: warm, stroke: surface }),
      hover(data.bins, at, (bin) =>
        `${data.score} ${percent(bin.value)}\n${data.observed} ${percent(bin.observed)}\n${bin.examples} examples`),
    ],
  }))];
}

// Precision against recall over all thresholds: a ring for the present one, a dot for the one that is looked at.
function operating(data, width, shown) {
  const points = data.points.map(([, tp, fp]) => ({ x: 100 * tp / data.positives, y: 100 * tp / (tp + fp) }));
  const at = { x: "x", y: "y" }, present = data.current === null ? [] : [points[data.current]];
  return [Plot.plot(base(Math.min(width, 520), 320, {
    marginBottom: 44,
    x: { label: "recall, %", labelAnchor: "center", labelArrow: "none", domain: [0, 100], ticks: 5 },
    y: { label: "precision, %", labelArrow: "none", grid: true, domain: [0, 100], ticks: 5 },
    marks: [
      Plot.line(points, { ...at, stroke: ice, strokeWidth: 2 }),
      Plot.dot(present, { ...at, r: 9, stroke: muted, strokeWidth: 2 }),
      Plot.dot([points[shown]], { ...at, r: 5, fill: warm, stroke: surface }),
    ],
  }))];
}
