// Draws the curves of page.html.
const runs = JSON.parse(document.getElementById("data").textContent);
const state = { unit: "bits", axis: "step", splits: ["val", "train"], shown: new Set(runs.keys()), zoom: null, focus: null };
const axes = { step: "optimizer steps", tokens: "training tokens", seconds: "seconds trained" };
const margin = { left: 66, right: 14, top: 10, bottom: 42 };
const charts = [
  { svg: document.getElementById("loss"), series: () => state.splits.map((split) => `${split}/loss`), label: lossLabel },
  {
    svg: document.getElementById("update"), series: () => ["update_size/all"], band: [-4, -2], limits: [-5, 0],
    label: () => "log\u2081\u2080 (update / parameter)",
  },
];
const tip = document.getElementById("tip");

function lossLabel() {
  return state.unit === "bits" ? "loss, bits per character" : "loss, nats per token";
}

// A function from a run's steps to the units of the x axis, or none if the run does not record them.
function stepsTo(run) {
  if (state.axis === "step") return (step) => step;
  if (state.axis === "tokens") return run.tokens && ((step) => step * run.tokens);
  const [steps, seconds] = run.seconds, last = steps.length - 1;
  return last >= 0 && ((step) => { // linear between known points, and extrapolated beyond them
    const found = steps.findIndex((known) => known >= step), after = found < 0 ? last : found;
    const [step0, time0] = after ? [steps[after - 1], seconds[after - 1]] : [0, 0];
    return time0 + ((step - step0) / (steps[after] - step0)) * (seconds[after] - time0);
  });
}

// A run's curve in the chosen units: { run, tag, xs, ys }; none if it has no such curve or unit. For a group it is the mean,
// with { lows, highs } one standard deviation away.
function lineOf(run, tag) {
  const curve = run.curves[tag], toX = stepsTo(run);
  const y = tag === "update_size/all" || state.unit === "nats" ? 1 : run.bits[tag];
  if (!curve || !curve[0].length || !toX || !y) return null;
  const line = { run, tag, xs: curve[0].map(toX), ys: curve[1].map((value) => value * y) }, band = run.bands[tag];
  if (!band) return line;
  return { ...line, lows: line.ys.map((value, k) => value - band[k] * y), highs: line.ys.map((value, k) => value + band[k] * y) };
}

function linesOf(chart) {
  const chosen = runs.filter((run, index) => state.shown.has(index));
  return chosen.flatMap((run) => chart.series().map((tag) => lineOf(run, tag))).filter((line) => line);
}

function quantile(sorted, share) {
  return sorted[Math.floor(share * (sorted.length - 1))];
}

// The range of values in view: [lowest, highest, whether values lie above]. The first losses of a training and those of a
// diverging run are far above the rest and would flatten it.
function rangeOf(lines, from, to, mayCut) {
  const inView = lines.map((line) => line.ys.filter((_, index) => line.xs[index] >= from && line.xs[index] <= to));
  const sorted = inView.filter((ys) => ys.length).map((ys) => ys.sort((a, b) => a - b));
  if (!sorted.length) return [0, 1, false];
  const low = Math.min(...sorted.map((ys) => ys[0])), high = Math.max(...sorted.map((ys) => ys[ys.length - 1]));
  const usual = sorted.map((ys) => quantile(ys, 0.97)).sort((a, b) => a - b), typical = quantile(usual, 0.5) - low;
  const top = Math.min(high, low + 1.12 * Math.min(usual[usual.length - 1] - low, 2 * typical));
  const cut = mayCut && high - low > 1.25 * (top - low) && top > low, room = 0.04 * ((cut ? top : high) - low) || 0.5;
  return [low - room, (cut ? top : high) + room, cut];
}

function draw(chart) {
  const { svg } = chart;
  svg.replaceChildren();
  chart.width = svg.clientWidth;
  chart.height = svg.clientHeight;
  chart.lines = linesOf(chart);
  const furthest = Math.max(1, ...chart.lines.map((line) => line.xs[line.xs.length - 1]));
  [chart.x0, chart.x1] = state.zoom || [0, furthest];
  let cut;
  [chart.y0, chart.y1, cut] = rangeOf(chart.lines, chart.x0, chart.x1, !chart.band && !state.zoom);
  if (chart.band) {
    const [lowest, highest] = chart.limits;
    [chart.y0, chart.y1] = [Math.max(lowest, Math.min(chart.y0, -4.3)), Math.min(highest, Math.max(chart.y1, -1.7))];
  }
  const [beside, below] = [margin.left + margin.right, margin.top + margin.bottom];
  chart.inner = { width: Math.max(1, chart.width - beside), height: chart.height - below };
  chart.toX = (x) => margin.left + ((x - chart.x0) / (chart.x1 - chart.x0)) * chart.inner.width;
  chart.toY = (y) => margin.top + ((chart.y1 - y) / (chart.y1 - chart.y0)) * chart.inner.height;
  drawAxes(chart);
  drawCurves(chart);
  if (svg.id === "loss") document.getElementById("loss-note").textContent = [
    ...(cut ? ["continues above the edge"] : []), ...(chart.lines.some((line) => line.lows) ? ["mean \u00b1 standard deviation"] : []),
  ].join("; ");
  chart.overlay = element(svg, "g");
}

function drawAxes(chart) {
  const { svg, width, height, toX, toY } = chart, right = width - margin.right, bottom = height - margin.bottom;
  if (chart.band) {
    const [low, high] = chart.band.map(toY);
    element(svg, "rect", { class: "band", x: margin.left, y: high, width: right - margin.left, height: low - high });
  }
  const ys = ticks(chart.y0, chart.y1, 6);
  for (const y of ys.found) {
    element(svg, "line", { class: "grid", x1: margin.left, x2: right, y1: toY(y), y2: toY(y) });
    element(svg, "text", { x: margin.left - 8, y: toY(y) + 4, "text-anchor": "end" }, fixed(y, ys.digits));
  }
  const columns = ticks(chart.x0, chart.x1, width / 110);
  for (const x of columns.found) {
    element(svg, "line", { class: "axis", x1: toX(x), x2: toX(x), y1: bottom, y2: bottom + 5 });
    element(svg, "text", { x: toX(x), y: bottom + 19, "text-anchor": "middle" }, short(x, columns.step));
  }
  element(svg, "line", { class: "axis", x1: margin.left, x2: right, y1: bottom, y2: bottom });
  element(svg, "text", { x: (margin.left + right) / 2, y: height - 5, "text-anchor": "middle" }, axes[state.axis]);
  const middle = (margin.top + bottom) / 2;
  element(svg, "text", { x: 14, y: middle, transform: `rotate(-90 14 ${middle})`, "text-anchor": "middle" }, chart.label());
}

function drawCurves(chart) {
  const { svg, toX, toY } = chart, id = `clip-${svg.id}`;
  const clip = element(svg, "clipPath", { id });
  element(clip, "rect", { x: margin.left, y: margin.top, ...chart.inner });
  const all = element(svg, "g", { "clip-path": `url(#${id})` });
  const ordered = [...chart.lines].reverse(); // the best run is drawn last, on top
  for (const line of ordered) {
    const kind = line.tag.split("/")[0] === "update_size" ? "update" : line.tag.split("/")[0];
    const group = element(all, "g", { class: line.run.look, "data-run": line.run.name, "data-curve": runs.indexOf(line.run) });
    const at = (ys) => (index) => `${toX(line.xs[index]).toFixed(1)} ${toY(ys[index]).toFixed(1)}`;
    const inside = [...line.xs.keys()].filter((index) => !chart.limits || line.ys[index] >= chart.limits[0]);
    if (line.lows) {
      const outline = [...inside.map(at(line.highs)), ...[...inside].reverse().map(at(line.lows))];
      element(group, "path", { class: "spread", d: `M${outline.join("L")}Z` });
    }
    if (inside.length) element(group, "path", { class: `curve ${kind}`, d: `M${inside.map(at(line.ys)).join("L")}` });
    for (const index of line.xs.keys()) {
      if (!inside.includes(index)) element(group, "path", { class: "below", d: `M${toX(line.xs[index])} ${toY(chart.y0)}l-5 -8h10z` });
    }
    const fits = line.xs.length === 1 || (kind === "val" && line.xs.length <= 40 && runs.length <= 14);
    if (fits) line.xs.forEach((x, index) => dot(group, 2.6, toX(x), toY(line.ys[index])));
  }
}

function dot(parent, r, cx, cy) {
  element(parent, "circle", { class: "dot", r, cx, cy });
}

// Shows the values at x; with many curves, those nearest to the pointer.
function point(chart, x, pixelY, left, top) {
  const found = chart.lines.filter((line) => x >= line.xs[0] && x <= line.xs[line.xs.length - 1]).map((line) => {
    const index = nearest(line.xs, x);
    const at = line.xs[index], apart = Math.abs(chart.toX(at) - chart.toX(x)) > 6; // its nearest value is at a different x
    return { line, at, apart, value: line.ys[index], far: Math.abs(chart.toY(line.ys[index]) - pixelY) };
  });
  chart.overlay.replaceChildren();
  tip.hidden = !found.length;
  if (!found.length) return;
  const across = chart.toX(x);
  const down = { y1: margin.top, y2: margin.top + chart.inner.height };
  element(chart.overlay, "line", { class: "cursor", x1: across, x2: across, ...down });
  found.sort((a, b) => a.far - b.far);
  const close = found.slice(0, 10), near = close[0];
  close.sort((a, b) => b.value - a.value);
  for (const { line, at, value } of close) {
    if (value >= chart.y0 && value <= chart.y1) dot(element(chart.overlay, "g", { class: line.run.look }), 3.2, chart.toX(at), chart.toY(value));
  }
  const where = `${state.axis} ${counted(x)}`;
  fillTip(close, near, where, found.length - close.length);
  tip.style.left = `${Math.min(left + 16, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.max(8, Math.min(top + 16, innerHeight - tip.offsetHeight - 8))}px`;
}

// A place on the x axis: a whole number, but for seconds below a minute.
function counted(x) {
  return x.toLocaleString("en", { maximumFractionDigits: state.axis === "seconds" && x < 60 ? 1 : 0 });
}

function fillTip(close, near, where, others) {
  tip.replaceChildren();
  element(tip, "div", { class: "hint" }, where + (others ? ` (${others} more farther away)` : ""));
  const body = element(element(tip, "table"), "tbody");
  for (const found of close) {
    const row = element(body, "tr", found === near ? { class: "near" } : {}), cell = element(row, "td");
    swatch(cell, found.line.run.look);
    const kind = { "train/loss": " train", "val/loss": " val" }[found.line.tag] || "";
    cell.append(found.line.run.label + kind + (found.apart ? ` at ${counted(found.at)}` : ""));
    element(row, "td", {}, fixed(found.value, found.line.tag === "update_size/all" ? 2 : 4));
  }
}

function swatch(parent, look) {
  const drawn = element(parent, "svg", { class: `swatch ${look}`, viewBox: "0 0 22 8", "aria-hidden": "true" });
  element(drawn, "path", { d: "M0 4H22" });
}

function drawAll() {
  charts.forEach(draw);
  focusRun(state.focus);
  tip.hidden = true;
  document.querySelector(".reset").hidden = !state.zoom;
}

// Highlights the curves of one run, or of none.
function focusRun(index) {
  state.focus = index;
  for (const group of document.querySelectorAll("[data-curve]")) {
    const chosen = Number(group.dataset.curve) === index;
    group.classList.toggle("faded", index !== null && !chosen);
    group.classList.toggle("focused", chosen);
  }
}

function show(indices) {
  state.shown = new Set(indices);
  document.querySelectorAll("#legend [data-index]").forEach((button) => {
    button.setAttribute("aria-pressed", String(state.shown.has(Number(button.dataset.index))));
  });
  drawAll();
}

function makeLegend() {
  const legend = document.getElementById("legend");
  for (const [index, run] of runs.entries()) {
    const button = element(legend, "button", { type: "button", "aria-pressed": "true", "data-index": index, title: run.name });
    swatch(button, run.look);
    element(button, "bdi", {}, (run.best ? "\u2605 " : "") + run.label);
    if (run.settings) element(button, "small", {}, ` ${run.settings}`);
    button.addEventListener("click", () => {
      const others = [...state.shown].filter((other) => other !== index);
      show(state.shown.has(index) ? others : [...others, index]);
    });
    button.addEventListener("dblclick", () => show([index]));
    button.addEventListener("mouseenter", () => focusRun(state.shown.has(index) ? index : null));
    button.addEventListener("mouseleave", () => focusRun(null));
  }
  if (runs.length < 3) return;
  for (const [name, chosen] of [["all", [...runs.keys()]], ["none", []]]) {
    element(legend, "button", { type: "button", class: "all" }, name).addEventListener("click", () => show(chosen));
  }
}

function watch(chart) {
  const { svg } = chart;
  const place = (event) => {
    const box = svg.getBoundingClientRect(), share = (event.clientX - box.left - margin.left) / chart.inner.width;
    return { x: chart.x0 + Math.min(1, Math.max(0, share)) * (chart.x1 - chart.x0), y: event.clientY - box.top };
  };
  svg.addEventListener("mousedown", (event) => event.preventDefault()); // do not select text or take the focus
  svg.addEventListener("pointerdown", (event) => {
    chart.from = place(event).x;
    svg.setPointerCapture(event.pointerId); // so that a zoom may end beyond the edge
  });
  svg.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    chart.cursor = x;
    point(chart, x, y, event.clientX, event.clientY);
    if (chart.from === undefined || !event.buttons) return;
    const [left, right] = [chart.from, x].sort((a, b) => a - b).map(chart.toX);
    element(chart.overlay, "rect", { class: "brush", x: left, width: right - left, y: margin.top, height: chart.inner.height });
  });
  svg.addEventListener("pointerup", (event) => {
    const range = [chart.from, place(event).x].sort((a, b) => a - b);
    if (chart.from !== undefined && chart.toX(range[1]) - chart.toX(range[0]) > 8) { state.zoom = range; drawAll(); }
    chart.from = undefined;
  });
  svg.addEventListener("pointerleave", () => { chart.overlay.replaceChildren(); chart.from = undefined; tip.hidden = true; });
  svg.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const box = svg.getBoundingClientRect(), step = (chart.x1 - chart.x0) / 50;
    chart.cursor = Math.min(chart.x1, Math.max(chart.x0, (chart.cursor ?? chart.x0) + way * step));
    point(chart, chart.cursor, chart.height, box.left + chart.toX(chart.cursor), box.top + margin.top);
  });
  svg.addEventListener("blur", () => { chart.overlay.replaceChildren(); tip.hidden = true; });
}

function makeControls() {
  for (const input of document.querySelectorAll(".controls input")) {
    input.addEventListener("change", () => {
      if (input.name === "split") state.splits = [...document.querySelectorAll("[name=split]:checked")].map((box) => box.value);
      else state[input.name] = input.value;
      if (input.name === "axis") state.zoom = null;
      drawAll();
    });
  }
  document.querySelector(".reset").addEventListener("click", () => { state.zoom = null; drawAll(); });
  if (!runs.some((run) => run.bits["val/loss"] || run.bits["train/loss"])) document.querySelector("[value=nats]").click();
}

// Sorts the table by a column, in reverse at a second click; cells without a value stay last.
function sortBy(head) {
  const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1, column = [...head.parentNode.children].indexOf(head);
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
  const body = document.querySelector("#runs tbody"), key = (row) => row.children[column].dataset.value;
  const compare = (a, b) => (head.dataset.kind === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0);
  const rows = [...body.rows].sort((a, b) => {
    const [left, right] = [key(a), key(b)];
    if (left === "" || right === "") return (left === "") - (right === "");
    return way * compare(left, right);
  });
  body.append(...rows);
}

for (const head of document.querySelectorAll("#runs thead th")) {
  head.querySelector("button").addEventListener("click", () => sortBy(head));
}
document.querySelectorAll("#runs tbody tr").forEach((row) => {
  const index = Number(row.dataset.index);
  row.addEventListener("mouseenter", () => focusRun(state.shown.has(index) ? index : null));
  row.addEventListener("mouseleave", () => focusRun(null));
});
if (runs.some((run) => Object.values(run.curves).some((curve) => curve[0].length))) {
  document.getElementById("curves").hidden = false;
  makeLegend();
  makeControls();
  charts.forEach(watch);
  drawAll();
  new ResizeObserver(() => charts[0].width === charts[0].svg.clientWidth || drawAll()).observe(charts[0].svg);
}
