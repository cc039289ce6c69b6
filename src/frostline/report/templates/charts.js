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

  function pareto(data, width) {
    const scale = rate(data.metric) ? 100 : 1, stroke = (point) => (point.mark === "chosen" ? warm : ice);
    const at = { x: (point) => 100 * point.old, y: (point) => scale * point.new };
    const front = d3.sort(data.points.filter((point) => point.front), (point) => point.old);
    return [Plot.plot(base(width, 320, {
      marginBottom: 44, marginRight: 64,
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
        Plot.text(data.points, { ...at, text: "name", dx: 9, dy: -9,
          textAnchor: "start", fill: (point) => (point.mark === "chosen" ? warm : muted) }),
      ],
    }))];
  }

  // Where the decisions of a drawing stand, in pixels, for the tip that walks along them.
  const stops = new WeakMap();

  function race(data, width) {
    const frame = raceFrame(data, width), { x, y, roof } = frame;
    const points = data.points.map((point) => {
      // A trial stands beside its rung, for the first rung may lie at as many updates. No loss: above the scale.
      const px = x(point.updates) - (point.trial ? 14 : 0), py = point.loss === null ? roof : y(point.loss);
      return { ...point, px, py, x: x.invert(px), y: y.invert(py) };
    });
    const chart = Plot.plot(base(width, frame.height, {
      ...frame.margins,
      x: { label: "updates of the optimizer", labelAnchor: "center", labelArrow: "none", domain: x.domain(),
           ticks: x.ticks(frame.wide ? 8 : 4).filter(Number.isInteger), tickFormat: ",d" },
      y: { label: `loss on the select split${data.logarithmic ? " (logarithmic)" : ""}`, labelArrow: "none", grid: true,
           type: data.logarithmic ? "log" : "linear", domain: y.domain(), ticks: frame.ticks, tickFormat: "~g" },
      marks: raceMarks(data, points),
    }));
    for (const { entries, anchor } of raceWords(data, points, frame)) write(chart, entries, anchor);
    stops.set(chart, points);
    return [chart];
  }

  function raceFrame(data, width) {
    const wide = width >= narrow, size = wide ? 13 : 12, height = wide ? 400 : 380;
    const losses = data.points.map((point) => point.loss).filter((loss) => loss !== null);
    const lost = losses.length < data.points.length;
    const atEnd = data.labels.filter((label) => data.points[label.point].updates > 0.9 * data.updates);
    const room = d3.max(atEnd, (label) => shortened(label.text, wide).length * size * 0.66) ?? 0;
    const margins = { marginTop: lost ? 70 : 44, marginBottom: 44, marginLeft: 56, marginRight: wide ? 32 + room : 20 };
    const scale = (data.logarithmic ? d3.scaleLog : d3.scaleLinear)(
      losses.length ? padded(losses, data.logarithmic) : [0, 1], [height - margins.marginBottom, margins.marginTop]);
    // On a long logarithmic scale Plot leaves the fives without a number.
    const leading = scale.ticks().length > 20 ? /^[12]e/ : /^[125]e/;
    const round = (tick) => !data.logarithmic || leading.test(tick.toExponential());
    return {
      wide, size, height, margins, lost, roof: margins.marginTop - 22, y: scale,
      x: d3.scaleLinear([0, data.updates], [margins.marginLeft, width - margins.marginRight]),
      ticks: losses.length ? scale.ticks(5).filter(round) : [],
    };
  }

  function padded(values, logarithmic) {
    const to = logarithmic ? Math.log : Number, from = logarithmic ? Math.exp : Number;
    const [low, high] = d3.extent(values, to), room = 0.07 * (high - low) || 0.1 * Math.abs(high) || 1;
    return [from(low - 1.8 * room), from(high + room)]; // a name may stand below the lowest point
  }

  function raceMarks(data, points) {
    const at = { x: "x", y: "y" }, ink = (point) => (point.chosen ? warm : muted);
    const known = d3.sort(points.filter((point) => point.loss !== null), (point) => point.chosen);
    const of = (decision) => d3.sort(points.filter((point) => point.decision === decision), (point) => point.chosen);
    const trials = d3.groups(known.filter((point) => point.trial), (point) => point.trial);
    const broken = points.flatMap((point, n) => {
      const before = points.slice(0, n).findLast((other) => other.candidate === point.candidate);
      return point.loss === null && before ? [{ ...point, from: before }] : [];
    });
    return [
      Plot.ruleX(data.rungs, { x: "updates", stroke: "var(--plain)", strokeOpacity: 0.5 }),
      trials.map(([, group]) => Plot.ruleX(group.slice(0, 1), {
        x: "x", y1: d3.min(group, (point) => point.y), y2: d3.max(group, (point) => point.y),
        stroke: plain, strokeDasharray: "2,3",
      })),
      Plot.line(known, { ...at, z: "candidate", stroke: ink, strokeOpacity: (point) => (point.chosen ? 1 : 0.6),
        strokeWidth: (point) => (point.chosen ? 2.5 : 1.25) }),
      Plot.link(broken, { x1: (point) => point.from.x, y1: (point) => point.from.y, x2: "x", y2: "y",
        stroke: "var(--bad)", strokeDasharray: "3,3" }),
      Plot.dot(of("kept"), { ...at, r: 4.5, fill: ink, stroke: surface, strokeWidth: 1 }),
      Plot.dot(of("pruned"), { ...at, r: 4, symbol: "times", stroke: ink, strokeWidth: 2 }),
      Plot.dot(of("failed"), { ...at, r: 5, symbol: "triangle", fill: "var(--bad)" }),
      Plot.dot(of("finished"), { ...at, r: 8, stroke: ink, strokeWidth: 2 }),
      Plot.dot(of("finished"), { ...at, r: 3.5, fill: ink }),
    ];
  }

  // Names beside their points, the most important first; one without room near its point is left to the tip.
  function raceWords(data, points, frame) {
    const { wide, size, margins } = frame, long = (text) => text.length * size * 0.58;
    const end = frame.x.range()[1] + margins.marginRight;
    const named = data.labels.map(({ point, text }) => {
      const own = { ...points[point], text: shortened(text, wide) };
      if (own.text.startsWith("@")) return { ...own, side: "before", lx: own.px - 10, ly: own.py };
      const lx = own.px + (own.decision === "finished" ? 14 : 10);
      if (lx + long(own.text) <= end) return { ...own, side: "after", lx, ly: own.py };
      return { ...own, side: "over", lx: own.px + 8, ly: own.py + 19 };
    }).filter((label) => label.side !== "before" || long(label.text) < label.lx - margins.marginLeft);
    const winner = points.filter((point) => point.chosen && point.loss !== null);
    const crosses = (label, ly) => [0.02, 0.5, 1].some((part) => {
      const px = label.lx + (label.side === "after" ? part : -part) * long(label.text);
      const n = winner.findIndex((point) => point.px > px);
      if (n <= 0) return label.side === "over" && Math.abs(ly - label.py) < size + 2;
      const line = d3.scaleLinear([winner[n - 1].px, winner[n].px], [winner[n - 1].py, winner[n].py]);
      return Math.abs(ly - line(px)) < 0.6 * size;
    });
    const placed = placedApart(named, size + 3, [34, frame.height - margins.marginBottom - 6], crosses);
    const toLeft = placed.filter((label) => label.side !== "after");
    return [
      { entries: rungHeads(data, frame), anchor: "middle" },
      { entries: [...toLeft, ...trialHeads(toLeft, frame, long)], anchor: "end" },
      { entries: placed.filter((label) => label.side === "after"), anchor: "start" },
      ...lostHead(points, frame, long),
    ];
  }

  function rungHeads(data, { x }) {
    const heads = data.rungs.flatMap(({ updates, rungs }) => rungs.filter(Boolean).map((rung) => (
      { text: `rung ${rung}`, lx: x(updates), ly: 30 })));
    return heads.filter((head, n) => n === 0 || head.lx - heads[n - 1].lx > 50);
  }

  function trialHeads(toLeft, { size, margins }, long) {
    const trials = toLeft.filter((label) => label.side === "before");
    return d3.groups(trials, (label) => label.trial).flatMap(([plan, group]) => {
      const room = group[0].lx - margins.marginLeft;
      const text = [`learning rates of ${plan}`, `of ${plan}`].find((words) => long(words) < room);
      return text ? [{ text, lx: group[0].lx, ly: d3.min(group, (label) => label.ly) - size - 5 }] : [];
    });
  }

  function lostHead(points, { lost, roof, margins, x }, long) {
    if (!lost) return [];
    const text = "no finite loss", without = points.filter((point) => point.loss === null);
    const [first, last] = d3.extent(without, (point) => point.px);
    const left = margins.marginLeft, right = x.range()[1] + margins.marginRight - 4;
    if (left + long(text) + 12 < first) return [{ entries: [{ text, lx: left, ly: roof }], anchor: "start" }];
    if (right - long(text) - 80 > last) return [{ entries: [{ text, lx: right, ly: roof }], anchor: "end" }];
    return [{ entries: [{ text, lx: left + 4, ly: roof + 32 }], anchor: "start" }];
  }

  const shortened = (text, wide) => {
    const most = wide ? 24 : 16;
    return text.length > most ? `${text.slice(0, most - 1)}\u2026` : text;
  };

  // Each label as near to its point as those before it and what it must not cross allow, each column in the order of
  // its points.
  function placedApart(labels, gap, [top, bottom], crosses) {
    const placed = [], steps = [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6];
    for (const label of labels) {
      const beside = placed.filter((other) => Math.abs(other.lx - label.lx) < 48 && other.side === label.side);
      const isFree = (ly) => ly >= top && ly <= bottom && !crosses(label, ly)
        && beside.every((other) => Math.abs(other.ly - ly) >= gap);
      const ly = steps.map((step) => label.ly + (step * gap) / 2).find(isFree);
      if (ly !== undefined) placed.push({ ...label, ly });
    }
    for (const [, column] of d3.groups(placed, (label) => `${label.side} ${label.px}`)) {
      const free = d3.sort(column.map((label) => label.ly));
      d3.sort(column, (label) => label.py).forEach((label, n) => { label.ly = free[n]; });
    }
    return placed;
  }

  function write(chart, entries, anchor) {
    const layer = d3.select(chart).append("g").attr("class", "names").attr("text-anchor", anchor);
    layer.selectAll("text").data(entries).join("text").attr("x", (entry) => entry.lx).attr("y", (entry) => entry.ly)
      .attr("dy", "0.32em").attr("class", (entry) => (entry.chosen ? "chosen" : null)).text((entry) => entry.text);
    // A name that had to move is tied to its point.
    const moved = entries.filter((entry) => entry.side === "after" && Math.abs(entry.ly - entry.py) > 6);
    d3.select(chart).append("g").attr("class", "ties").selectAll("path").data(moved).join("path")
      .attr("d", (entry) => `M${entry.px + 5},${entry.py}L${entry.lx - 2},${entry.ly}`);
  }

  const draw = { depth, curves, contenders, costs, pareto, race };
  const drawn = new Map();

  function fit(holder) {
    const width = Math.floor(holder.clientWidth);
    if (!width || drawn.get(holder) === width) return;
    drawn.set(holder, width);
    const charts = draw[holder.dataset.chart](everything[holder.dataset.chart], width);
    for (const chart of charts) chart.setAttribute("aria-hidden", "true");
    holder.replaceChildren(...charts);
    if (stops.has(charts[0])) explore(holder, charts[0]);
  }

  // One stop of the keyboard for a whole chart: a slider over its points, which readers aloud know how to walk.
  function explore(holder, chart) {
    const points = stops.get(chart), parent = holder.parentElement;
    parent.querySelectorAll(".walk, .tip").forEach((old) => old.remove());
    const walk = parent.appendChild(document.createElement("div"));
    const tip = parent.appendChild(document.createElement("div"));
    walk.className = "walk";
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true"); // the slider says the same
    const fixed = { role: "slider", tabindex: 0, "aria-label": "Decisions, one by one", "aria-valuemin": 1,
                    "aria-valuemax": points.length };
    for (const [name, value] of Object.entries(fixed)) walk.setAttribute(name, value);
    const choose = (n) => {
      walk.setAttribute("aria-valuenow", n + 1);
      walk.setAttribute("aria-valuetext", [points[n].candidate, ...points[n].tip].join("; "));
    };
    const current = () => Number(walk.getAttribute("aria-valuenow")) - 1;
    const hide = () => { tip.hidden = true; d3.select(chart).selectAll(".focus").remove(); };
    const show = (n) => {
      choose(n);
      lightUp(chart, points, points[n]);
      tellAt(tip, points[n], holder);
    };
    const nearest = (event) => {
      const box = chart.getBoundingClientRect(), [px, py] = [event.clientX - box.left, event.clientY - box.top];
      show(d3.minIndex(points, (point) => Math.hypot(point.px - px, point.py - py)));
    };
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity };
    walk.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      show(Math.min(points.length - 1, Math.max(0, current() + steps[event.key])));
    });
    walk.addEventListener("focus", () => show(current()));
    walk.addEventListener("blur", hide);
    walk.addEventListener("pointermove", nearest);
    walk.addEventListener("pointerdown", nearest);
    walk.addEventListener("pointerleave", () => { if (document.activeElement !== walk) hide(); });
    choose(0);
  }

  function lightUp(chart, points, point) {
    const own = points.filter((other) => other.candidate === point.candidate && other.loss !== null);
    d3.select(chart).selectAll(".focus").remove();
    const layer = d3.select(chart).append("g").attr("class", "focus");
    layer.append("path").attr("d", d3.line((other) => other.px, (other) => other.py)(own));
    layer.append("circle").attr("cx", point.px).attr("cy", point.py).attr("r", 11);
  }

  function tellAt(tip, point, holder) {
    const lines = [point.candidate, ...point.tip].map((text, n) => {
      const line = document.createElement(n ? "span" : "b");
      line.textContent = text;
      return line;
    });
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const most = Math.max(0, holder.clientWidth - tip.offsetWidth);
    const left = d3.median([0, point.px - tip.offsetWidth / 2, most]);
    const above = holder.offsetTop + point.py - tip.offsetHeight - 18;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > -40 ? above : holder.offsetTop + point.py + 18}px`;
  }

  const holders = [...document.querySelectorAll("[data-chart]")];
  holders.forEach(fit);
  addEventListener("resize", () => holders.forEach(fit));
})();
