"use strict";
// What the scripts of all pages use. All text from runs goes through textContent: none of it becomes markup.
function element(parent, name, attributes = {}, text = null) {
  const inSvg = parent instanceof SVGElement || name === "svg";
  const made = inSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
}

function ticks(low, high, about) {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) || 10);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
  return { found, step, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function fixed(value, digits) {
  return value.toFixed(digits).replace("-", "\u2212");
}

// A number on a logarithmic axis: 0.01, 10, or 1e-6 where zeros would take more room.
function power(value) {
  return value < 1e-3 || value >= 1e5 ? value.toExponential(0).replace("e+", "e").replace("-", "\u2212") : String(Number(value.toPrecision(3)));
}

// A count such as 1.24M; beside others that are `step` apart, with as many digits as tell them apart.
function short(count, step = 0) {
  const [size, unit] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([least]) => count >= least) || [1, ""];
  const digits = step ? Math.ceil(-Math.log10(step / size) - 1e-9) : 2;
  return `${+(count / size).toFixed(Math.min(9, Math.max(0, digits)))}${unit}`;
}

function nearest(sorted, wanted) {
  let low = 0, high = sorted.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle; else high = middle;
  }
  return wanted - sorted[low] < sorted[high] - wanted ? low : high;
}

// Draws { title, note, x, y, log, series: [{ name, look, xs, ys }] }: at most seven lines, named beside their ends. `log` names
// the axes that are logarithmic: "x", "y" or "xy".
function lineChart(parent, { title, note = "", x, y, log = "", series: all }) {
  const series = all.filter((line) => line.xs.length);
  const figure = element(parent, "figure"), width = 560, height = 260, edge = { left: 58, right: 120, top: 10, bottom: 40 };
  element(element(figure, "figcaption", {}, `${title} `), "span", { class: "note" }, note);
  const svg = element(figure, "svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}. ${note}` });
  const scales = { x: log.includes("x") ? Math.log2 : Number, y: log.includes("y") ? Math.log10 : Number };
  const [xs, ys] = ["x", "y"].map((axis) => series.flatMap((line) => line[`${axis}s`].map((value) => scales[axis](value))));
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)], room = 0.05 * (y1 - y0) || 0.5;
  const toX = (value) => edge.left + ((scales.x(value) - x0) / (x1 - x0 || 1)) * (width - edge.left - edge.right);
  const toY = (value) => edge.top + ((y1 + room - scales.y(value)) / (y1 - y0 + 2 * room)) * (height - edge.top - edge.bottom);
  const rows = ticks(y0 - room, y1 + room, 5), bottom = height - edge.bottom;
  for (const tick of rows.found) {
    const value = log.includes("y") ? 10 ** tick : tick;
    const label = log.includes("y") ? power(value) : fixed(tick, rows.digits);
    element(svg, "line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: toY(value), y2: toY(value) });
    element(svg, "text", { x: edge.left - 6, y: toY(value) + 4, "text-anchor": "end" }, label);
  }
  const columns = ticks(x0, x1, 6).found.filter((tick) => !log.includes("x") || Number.isInteger(tick));
  for (const tick of columns.map((found) => (log.includes("x") ? 2 ** found : found))) {
    element(svg, "text", { x: toX(tick), y: bottom + 16, "text-anchor": "middle" }, log.includes("x") ? tick : short(tick));
  }
  element(svg, "line", { class: "axis", x1: edge.left, x2: width - edge.right, y1: bottom, y2: bottom });
  element(svg, "text", { x: (edge.left + width - edge.right) / 2, y: height - 6, "text-anchor": "middle" }, x);
  const middle = (edge.top + bottom) / 2;
  element(svg, "text", { x: 12, y: middle, transform: `rotate(-90 12 ${middle})`, "text-anchor": "middle" }, y);
  const labels = series.map((line) => ({ line, at: toY(line.ys[line.ys.length - 1]) })).sort((a, b) => a.at - b.at);
  labels.forEach((label, index) => { if (index) label.at = Math.max(label.at, labels[index - 1].at + 13); });
  const over = Math.max(0, (labels.length ? labels[labels.length - 1].at : 0) - bottom);
  for (const { line, at } of labels) {
    const group = element(svg, "g", { class: line.look });
    const points = line.xs.map((value, index) => `${toX(value).toFixed(1)} ${toY(line.ys[index]).toFixed(1)}`);
    element(group, "path", { class: "curve", d: `M${points.join("L")}` });
    line.xs.forEach((value, index) => {
      const dot = element(group, "circle", { class: "dot", r: line.xs.length > 60 ? 0 : 2.6, cx: toX(value), cy: toY(line.ys[index]) });
      element(dot, "title", {}, `${line.name}: ${short(value)}, ${line.ys[index]}`);
    });
    element(group, "text", { x: width - edge.right + 6, y: at + 4 - over, class: "name" }, line.name);
  }
}
