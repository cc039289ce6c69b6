"use strict";
(() => {
  const every = 2000, narrow = 560;
  const at = (id) => document.getElementById(id);
  const show = (id, wanted) => { at(id).hidden = !wanted; };
  const say = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };
  let last = "", state = null;

  // Text, never markup: names come from data and folders.
  const element = (tag, text, name = "") => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };

  const line = (head, cells) => {
    const row = document.createElement("tr");
    const first = element("th", head);
    first.scope = "row";
    row.append(first, ...cells);
    return row;
  };

  const swatched = (fill, row) => {
    const swatch = element("i", "", "swatch");
    swatch.style.background = fill;
    row.cells[0].prepend(swatch);
    return row;
  };

  function facts() {
    const shown = [
      ["Stage", state.stage, `up to ${state.epochs} epochs a candidate`],
      ["Elapsed", state.elapsed, state.activity === "finished" ? "the whole study" : "since it was begun"],
      ["Trained for", state.trained, "all acknowledged epochs"],
      ["Last news", `${state.idle} ago`, "something was acknowledged"],
      ["Budget", state.budget, ""],
    ];
    at("facts").replaceChildren(...shown.map(([title, value, detail]) => {
      const fact = document.createElement("div"), told = document.createElement("dd");
      told.append(element("b", value), " ", element("span", detail));
      fact.append(element("dt", title), told);
      return fact;
    }));
  }

  function tables() {
    at("runs").replaceChildren(...state.runs.map((run, n) => swatched(colour(n), line(run.candidate, [
      element("td", run.state, `state ${run.state === "open" || run.state === "failed" ? run.state : ""}`),
      element("td", run.epochs, "r"), element("td", run.stop_loss, "r"), element("td", run.best_stop_loss, "r"),
      element("td", run.stop_accuracy, "r"), element("td", [run.plan, run.why].filter(Boolean).join("; ")),
    ]))));
    show("decided", state.decisions.length > 0);
    show("undecided", state.decisions.length === 0);
    if (!state.raced) say("undecided", "There is no race: every candidate is trained to its end.");
    at("decisions").replaceChildren(...state.decisions.map((one) => line(one.candidate, [
      element("td", one.rung), element("td", one.updates, "r"), element("td", one.loss, "r"),
      element("td", one.decision), element("td", one.reason),
    ])));
  }

  function verdict() {
    show("judged", state.verdict !== null);
    show("report", state.report);
    if (state.verdict === null) return;
    const tones = { READY: "good", INCONCLUSIVE: "unsure" };
    at("judged").className = `banner ${tones[state.verdict.name] ?? "bad"}`;
    say("verdict-name", state.verdict.name);
    say("verdict-sentence", state.verdict.sentence);
    say("chosen", `Chosen: ${state.chosen.candidate}: ${state.chosen.plan}. ${state.chosen.reason}`);
  }

  // Each can be told from the page at three to one, in light and in dark.
  const colours = ["#3f7fbf", "#c8681a", "#2a9187", "#d14b4e", "#9a7d0a", "#9a5fb0", "#4b8f3a", "#cf5c8f", "#8f6a50", "#7a838c"];
  const colour = (n) => colours[n % colours.length];

  // Names at the ends of lines, but for those that would lie on another; colours tell the rest in the table.
  function ends(points, furthest) {
    const names = new Map(state.runs.map((run) => [run.run, run.candidate]));
    const [low, high] = d3.extent(points, (point) => point.value);
    const placed = [];
    for (const [run, own] of d3.groups(points, (point) => point.run).reverse()) {
      const end = own.at(-1);
      const free = placed.every((other) => Math.abs(other.epoch - end.epoch) > furthest / 3
        || Math.abs(other.value - end.value) > (high - low) / 16);
      if (free) placed.push({ ...end, name: names.get(run) });
    }
    return placed;
  }

  function curve(kind, width) {
    // A loss that is not finite leaves a gap.
    const scale = kind === "accuracy" ? 100 : 1;
    const points = state.points.map((point) => ({ ...point, value: point[kind] === null ? NaN : point[kind] * scale }));
    const furthest = Math.max(1, d3.max(points, (point) => point.epoch));
    const whole = points.filter((point) => !Number.isNaN(point.value));
    const runs = state.runs.map((run) => run.run);
    return Plot.plot({
      width, height: 300, marginLeft: 52, marginTop: 34, marginBottom: 40, marginRight: 96,
      style: { background: "none", fontFamily: "inherit", fontSize: "13px", fontVariantNumeric: "tabular-nums" },
      color: { type: "ordinal", domain: runs, range: runs.map((_, n) => colour(n)) },
      x: { label: "epoch", labelAnchor: "center", labelArrow: "none", domain: [0, furthest],
           ticks: d3.ticks(0, furthest, Math.min(furthest, 8)), tickFormat: "d" },
      y: { label: null, grid: true, nice: true, ticks: 5, zero: false },
      marks: [
        Plot.text([kind === "loss" ? "Loss" : "Accuracy, %"], {
          frameAnchor: "top-left", dy: -24, text: (own) => own, fontWeight: 600, fill: "currentColor" }),
        Plot.lineY(points, { x: "epoch", y: "value", z: "run", stroke: "run", strokeWidth: 2 }),
        Plot.dot(points, { x: "epoch", y: "value", fill: "run", r: 3, title: (p) => `${p.run}, epoch ${p.epoch}: ${p.value}` }),
        Plot.text(ends(whole, furthest), { x: "epoch", y: "value", text: "name", textAnchor: "start", dx: 8,
          fill: "currentColor", stroke: "var(--paper)", strokeWidth: 4 }),
      ],
    });
  }

  function charts() {
    show("empty", state.points.length === 0);
    const whole = Math.floor(at("curves").clientWidth);
    if (!whole || state.points.length === 0) return;
    const width = whole < 2 * narrow ? whole : Math.floor((whole - 32) / 2);
    const drawn = ["loss", "accuracy"].map((kind) => curve(kind, width));
    for (const chart of drawn) chart.setAttribute("aria-hidden", "true");
    at("curves").replaceChildren(...drawn);
  }

  function tell() {
    say("what", `${state.model} on ${state.data}`);
    say("activity", state.sentence);
    facts();
    // What did not change is not drawn anew: a reader may be selecting text in it.
    const now = JSON.stringify([state.points, state.runs, state.decisions, state.verdict, state.report, state.activity]);
    if (now === last) return;
    last = now;
    tables();
    verdict();
    charts();
  }

  async function ask() {
    try {
      const answer = await fetch("/state.json", { cache: "no-store" });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.problem);
      state = told;
      show("problem", false);
      tell();
    } catch (error) {
      say("problem", error instanceof TypeError ? "frostline watch is no longer running. Start it again." : error.message);
      show("problem", true);
    }
    setTimeout(ask, every);
  }

  addEventListener("resize", () => { if (state !== null) charts(); });
  ask();
})();
