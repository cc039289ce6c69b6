// What a reader can move: the threshold, and the candidate that is looked at. Then everything is drawn.
const draw = { depth, curves, contenders, costs, pareto, dial, race };
const drawn = new Map();

function fit(holder) {
  const width = Math.floor(holder.clientWidth);
  if (!width || drawn.get(holder) === width) return;
  drawn.set(holder, width);
  put(holder, draw[holder.dataset.chart](everything[holder.dataset.chart], width));
  const chart = holder.firstElementChild;
  if (stops.has(chart)) explore(holder, chart);
}

function put(holder, charts) {
  for (const chart of charts) chart.setAttribute("aria-hidden", "true");
  holder.replaceChildren(...charts);
}

const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
const whole = (count) => count.toLocaleString("en");
const part = (some, all) => (all ? percent(some / all) : "undefined");

const live = {
  calibration: (box, data) => (width) => put(box, calibration(data, width)),

  operating(box, data) {
    const slider = box.querySelector("input"), output = box.querySelector("output"), holder = box.querySelector(".chart");
    const show = () => put(holder, operating(data, holder.clientWidth, slider.valueAsNumber));
    const tell = () => {
      const n = slider.valueAsNumber, [threshold, tp, fp] = data.points[n];
      const missed = data.positives - tp, left = data.negatives - fp, now = n === data.current;
      const readings = [["Threshold", threshold.toPrecision(3)], ["Recall", part(tp, data.positives)],
                        ["Precision", part(tp, tp + fp)], ["F1", part(2 * tp, data.positives + tp + fp)]];
      const rows = [
        [`truly ${data.positive}`, `${whole(tp)} found`, `${whole(missed)} missed`],
        [`truly ${data.other}`, `${whole(fp)} false alarms`, `${whole(left)} rightly left alone`],
      ];
      const matrix = element("span", "", { class: "matrix" });
      matrix.append(...rows.flatMap((row) => row.map((text, at) =>
        element(at ? "b" : "span", `${text}${at === 2 ? ". " : ", "}`))));
      output.replaceChildren(
        ...readings.map(([name, value]) => {
          const reading = element("span", `${name} `, { class: "reading" });
          reading.append(element("b", value), " ");
          return reading;
        }),
        element("span", now ? `The current threshold, ${number(data.at)}, gives these answers. ` : "", { class: "now" }),
        matrix,
      );
      slider.setAttribute("aria-valuetext", `${threshold.toPrecision(3)}${now ? ", the current threshold" : ""}`);
    };
    slider.addEventListener("input", () => { tell(); show(); });
    tell();
    return show;
  },

  candidates(box, data) {
    const choice = box.querySelector("select"), holder = box.querySelector(".chart"), said = box.querySelector(".said");
    const chosen = data.runs[0], table = box.querySelector("table"), parts = box.querySelector(".parts table");
    const title = (run) => (run === chosen ? `${run.name}, chosen` : run.name);
    const picked = () => [...new Set([data.runs[choice.selectedIndex], chosen])];
    const show = () => put(holder, curves(unpacked(picked(), title), holder.clientWidth));
    const tell = () => {
      const [run] = picked();
      said.textContent = `${run.name}: ${run.ended}; best epoch ${run.best}.`;
      fillConfusion(table, run, data);
      if (parts) fillParts(parts, run, data.shared);
    };
    choice.parentElement.hidden = false;
    choice.addEventListener("change", () => { tell(); show(); });
    tell();
    return show;
  },
};

// From the short form of candidates_view.py to what `curves` draws.
function unpacked(runs, title) {
  const points = runs.flatMap((run) => run.epochs.flatMap(([epoch, loss, accuracy, stopLoss, stopAccuracy]) => [
    { run: title(run), epoch, split: "train", loss, accuracy },
    { run: title(run), epoch, split: "validation", loss: stopLoss, accuracy: stopAccuracy },
  ]));
  return {
    points,
    runs: runs.map(title),
    best: runs.map((run) => ({ run: title(run), epoch: run.best })),
    seen: runs.flatMap((run) => run.seen.map(([first, last, kind]) => ({ run: title(run), first, last, kind }))),
  };
}

// The same table as `confusion_table` of candidates_view.py makes.
function fillConfusion(table, run, data) {
  const { labels } = data, flat = run.cells ?? [];
  const cells = d3.range(0, flat.length, 3).map((n) => flat.slice(n, n + 3));
  const few = labels.length <= data.whole, caption = `Confusion of ${run.name} on the select split`;
  entitle(table, run.cells === null ? silent(run) : few ? caption : `${caption}: the commonest mistakes`);
  const mistakes = d3.sort(cells.filter(([truth, answer]) => truth !== answer), (cell) => -cell[2]);
  const rows = run.cells === null ? []
    : few ? wholeRows(labels, cells)
    : mistakes.slice(0, data.listed).map(([truth, answer, count]) => [labels[truth], labels[answer], whole(count)]);
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    line.append(...row.map((text, n) => (n ? element("td", text, { class: few || n === 2 ? "r" : "l" })
      : element("th", text, { scope: "row", class: "l" }))));
    return line;
  }));
  const more = few ? 0 : mistakes.length - data.listed, note = table.parentElement.parentElement.querySelector(".note");
  note.textContent = more > 0 ? `${whole(more)} more pairs of classes were mistaken, none of them more often.` : "";
}

const silent = (run) => `${run.name} gave no answers on the select split`;

function entitle(table, caption) {
  table.caption.textContent = caption;
  table.parentElement.setAttribute("aria-label", caption);
}

// The parts are the same for everybody, and so are the first cells of each; the rest are texts of slices_view.py.
function fillParts(table, run, shared) {
  const [body] = table.tBodies;
  body.hidden = run.parts === null;
  entitle(table, body.hidden ? silent(run) : `${run.name} part by part, on the select split`);
  run.parts?.forEach((texts, row) => texts.forEach((text, at) => {
    body.rows[row].cells[shared + at].textContent = text.replaceAll(" %", "\u00a0%");
  }));
}

function wholeRows(labels, cells) {
  const counts = labels.map(() => labels.map(() => 0));
  for (const [truth, answer, count] of cells) counts[truth][answer] = count;
  return counts.map((row, n) => [`truly ${labels[n]}`, ...row.map(whole), whole(d3.sum(row))]);
}

const holders = [...document.querySelectorAll("[data-chart]")];
const lively = [...document.querySelectorAll("[data-live]")].map((box) => {
  box.hidden = false;
  return { box, show: live[box.dataset.live](box, JSON.parse(box.dataset.numbers)) };
});
const widths = new Map();

function fitAll() {
  holders.forEach(fit);
  for (const { box, show } of lively) {
    if (box.clientWidth && widths.get(box) !== box.clientWidth) show(box.clientWidth);
    widths.set(box, box.clientWidth);
  }
}

fitAll();
addEventListener("resize", fitAll);
