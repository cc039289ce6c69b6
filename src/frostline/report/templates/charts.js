"use strict";
(() => {
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
        x: { label: "epoch", labelAnchor: "center", labelArrow: "none", domain: [0, Math.max(last, 1)],
             ticks: d3.ticks(0, last, Math.min(last, 8)), tickFormat: "d" },
        y: { label: null, grid: true, percent: scale === 100, domain: domain.map((end) => end * scale), ticks: 5 },
        marks: [
          title(`${kind === "loss" ? "Loss" : "Accuracy, %"}: ${run}`),
          Plot.ruleX(data.best.filter((best) => best.run === run), { x: "epoch", stroke: muted }),
          ...marks,
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

  const draw = { depth, curves, contenders, costs };
  const drawn = new Map();

  function fit(holder) {
    const width = Math.floor(holder.clientWidth);
    if (!width || drawn.get(holder) === width) return;
    drawn.set(holder, width);
    const charts = draw[holder.dataset.chart](everything[holder.dataset.chart], width);
    for (const chart of charts) chart.setAttribute("aria-hidden", "true");
    holder.replaceChildren(...charts);
  }

  const holders = [...document.querySelectorAll("[data-chart]")];
  holders.forEach(fit);
  addEventListener("resize", () => holders.forEach(fit));
})();
