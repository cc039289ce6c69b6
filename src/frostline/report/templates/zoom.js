// A drawing in the whole window, larger and smaller; Esc closes it, and reading goes on where it was.
const scales = [1, 1.5, 2, 3, 4];

function sheetOf(figure) {
  const drawing = figure.querySelector(".chart");
  const sheet = element("div", "", { class: "sheet", tabindex: "0", role: "group", "aria-label": "The drawing, to be scrolled" });
  const picture = element("div", "", { role: "img", "aria-label": drawing.getAttribute("aria-label") });
  for (const chart of drawing.querySelectorAll(":scope > svg, :scope > figure > svg")) {
    const copy = chart.cloneNode(true);
    // What is left is its view box: the drawing is as large as the sheet lets it be.
    copy.removeAttribute("width");
    copy.removeAttribute("height");
    picture.append(copy);
  }
  sheet.append(picture);
  return sheet;
}

function enlarge(figure) {
  const title = figure.querySelector("figcaption").textContent;
  const dialog = element("dialog", "", { class: "zoom", "aria-label": title });
  const sheet = sheetOf(figure), said = element("output", "");
  const smaller = element("button", "Smaller"), larger = element("button", "Larger"), close = element("button", "Close");
  let at = 0;
  const show = (to) => {
    at = Math.max(0, Math.min(scales.length - 1, to));
    sheet.style.setProperty("--zoom", scales[at]);
    said.textContent = `${100 * scales[at]}\u00a0%`;
    smaller.disabled = at === 0;
    larger.disabled = at === scales.length - 1;
    // A button that can no longer be pressed would take the focus with it.
    if (document.activeElement === document.body) sheet.focus();
  };
  smaller.addEventListener("click", () => show(at - 1));
  larger.addEventListener("click", () => show(at + 1));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", ({ key }) => {
    if (key === "+" || key === "-") show(at + (key === "+" ? 1 : -1));
    if (key === "Escape") dialog.close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  const bar = element("p", "", { class: "bar" });
  bar.append(element("b", title), smaller, said, larger, close);
  dialog.append(bar, sheet);
  document.body.append(dialog);
  show(0);
  dialog.showModal();
  sheet.focus();
}

for (const figure of document.querySelectorAll("figure:has(> figcaption)")) {
  if (!figure.querySelector(".chart")) continue;
  const title = figure.querySelector("figcaption");
  const button = element("button", "Enlarge", { class: "enlarge", type: "button", "aria-label": `Enlarge: ${title.textContent}` });
  button.addEventListener("click", () => enlarge(figure));
  title.after(button);
}
