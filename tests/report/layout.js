// What is laid out wrong on the page that is open, as sentences; `width` is how wide it may be, in CSS pixels.
(width) => {
  const short = (text) => JSON.stringify(text.trim().replace(/\s+/g, " ").slice(0, 60));
  const unread = "script, style, noscript, select, datalist, .skip";
  const wrong = [];

  // Boxes of what is clipped or scrolls by itself, from the inside out; text beyond them is not seen.
  const frames = new Map();
  const frame = (element) => {
    if (element === null || element === document.documentElement) return null;
    if (!frames.has(element)) {
      const around = frame(element.parentElement);
      const own = getComputedStyle(element).overflowX === "visible" || element.closest("svg") ? null
        : element.getBoundingClientRect();
      frames.set(element, own ? cut(own, around) : around);
    }
    return frames.get(element);
  };
  const cut = (box, by) => (by === null ? { left: box.left, right: box.right, top: box.top, bottom: box.bottom } : {
    left: Math.max(box.left, by.left), right: Math.min(box.right, by.right),
    top: Math.max(box.top, by.top), bottom: Math.min(box.bottom, by.bottom),
  });

  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const own = node.parentElement;
    if (!node.data.trim() || own.closest(unread)) continue;
    if (!own.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
    if (boxes.length === 0) wrong.push(`Text without a size: ${short(node.data)}.`);
    for (const box of boxes) {
      const seen = cut(box, frame(own));
      // Boxes of a line are higher than its letters.
      const trim = box.height / 4;
      lines.push({ text: node.data, own, left: seen.left + 1, right: seen.right - 1, top: seen.top + trim,
                   bottom: seen.bottom - trim });
    }
  }

  const scrolls = document.documentElement.scrollWidth;
  if (scrolls > width) wrong.push(`The page is ${scrolls} pixels wide instead of ${width}.`);
  for (const line of lines) {
    if (line.right > width) wrong.push(`Text beyond the right edge: ${short(line.text)}.`);
  }

  const shown = lines.filter((line) => line.right > line.left && line.bottom > line.top).sort((a, b) => a.top - b.top);
  shown.forEach((one, n) => {
    for (let m = n + 1; m < shown.length && shown[m].top < one.bottom; m += 1) {
      const other = shown[m];
      if (one.left < other.right && other.left < one.right) {
        wrong.push(`Text over text: ${short(one.text)} and ${short(other.text)}.`);
      }
    }
  });
  return wrong;
}
