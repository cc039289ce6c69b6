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
