// Colors the text of inside.html by a unit, and shows what else is known of it.
const data = JSON.parse(document.getElementById("data").textContent);
const time = data.tokens.length;
const signal = unpack(document.getElementById("signal").textContent); // unit by unit, a value for each token
const detectors = unpack(document.getElementById("detectors").textContent);
const closely = unpack(data.closely.values);
const state = { unit: data.unit, value: 0, at: null };
const text = document.getElementById("text"), here = document.getElementById("here");
const [unitList, valueList, underline] = ["unit", "value", "underline"].map((id) => document.getElementById(id));
const tokens = []; // the element of each
const ON = 12; // units that are listed as on
const levels = data.order.map((_, unit) => level(valuesOf(unit, 0)));

function unpack(base64) {
  const bytes = atob(base64), values = new Int8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += 1) values[at] = bytes.charCodeAt(at);
  return values;
}

function unitName(unit) {
  const layer = data.starts.findLastIndex((start) => start <= unit);
  return `${layer}:${unit - data.starts[layer]}`;
}

// The detector that a unit follows best, with its score; nothing where it is close to chance.
function follows(unit) {
  if (!data.best || data.best[1][unit] < 0.7) return "";
  const row = data.ranking.find((found) => found.place === data.best[0][unit]);
  return `${row.name} (${data.best[1][unit].toFixed(2)})`;
}

// A character that would not be seen by itself, as something that is.
function shown(mark) {
  const code = mark.codePointAt(0);
  if (mark === " ") return "\u2423";
  if (mark === "\n") return "\u23ce";
  if (mark === "\t") return "\u21e5";
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (/^\p{M}$/u.test(mark)) return `\u25cc${mark}`;
  return /^[\p{C}\p{Z}]$/u.test(mark) ? `U+${code.toString(16).toUpperCase().padStart(4, "0")}` : mark;
}

function spelled(place) {
  return data.special.includes(place) ? data.spellings[place] : [...data.spellings[place]].map(shown).join("");
}

// The same inside a sentence: a letter that is read from right to left does not turn what stands beside it.
function isolated(place) {
  return `\u2068${spelled(place)}\u2069`;
}

// Whether a line is read from right to left: by its first letter that says so.
function direction(places) {
  const written = places.filter((place) => !data.special.includes(place));
  const letter = written.map((place) => data.spellings[place]).join("").match(/\p{L}/u);
  return letter && /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u.test(letter[0]) ? "rtl" : "ltr";
}

function linesOfText() {
  const lines = [[]];
  data.tokens.forEach((place, at) => {
    lines[lines.length - 1].push(at);
    const ends = data.special.includes(place) ? data.spellings[place] === "END" : data.spellings[place].includes("\n");
    if (ends) lines.push([]);
  });
  return lines.filter((line) => line.length);
}

function writeText() {
  text.classList.toggle("apart", data.apart);
  for (const line of linesOfText()) {
    const row = element(text, "div", { class: "line", dir: direction(line.map((at) => data.tokens[at])) });
    for (const at of line) writeToken(row, at);
  }
}

function writeToken(row, at) {
  const place = data.tokens[at], spelling = data.spellings[place], visible = spelled(place);
  const special = data.special.includes(place);
  const token = element(row, "span", { class: special ? "token special" : "token", "data-at": at });
  // white space and marks that join others stay as they are in the compact view; a line end or a control is always shown
  const plain = special || visible === spelling || /^[ \t\p{L}\p{N}\p{P}\p{M}]+$/u.test(spelling);
  const kind = /\S/.test(spelling) ? "glyph" : "glyph blank";
  const glyph = element(token, "span", plain && visible !== spelling ? { class: kind, "data-shown": visible } : { class: kind });
  glyph.textContent = plain ? spelling : visible;
  if (!plain) token.classList.add("mark");
  tokens.push(token);
}

// The guesses of one token, five lines in one element: the text has tens of thousands of them.
function writeGuesses(token, at) {
  const guess = element(token, "span", { class: "guess", "aria-hidden": "true" });
  const stops = data.shares[at].map((share, line) => {
    const color = `rgba(var(--hot), ${(0.8 * share / 100).toFixed(2)})`;
    return `${color} ${15 * line}px ${15 * (line + 1)}px`;
  });
  guess.style.backgroundImage = `linear-gradient(to bottom, ${stops.join(", ")})`;
  data.guesses[at].forEach((place, line) => {
    if (line) guess.append("\n");
    if (place === data.tokens[at + 1]) element(guess, "b", {}, spelled(place));
    else guess.append(spelled(place));
  });
  element(token, "span", { class: "loss", "aria-hidden": "true" }, data.losses[at]?.toFixed(1) ?? "");
}

function showGuesses(wanted) {
  if (wanted && !text.querySelector(".guess")) tokens.forEach(writeGuesses);
  text.classList.toggle("full", wanted);
}

// The values of the unit and value chosen, one for each token.
function valuesOf(unit, value) {
  if (value === 0) return signal.subarray(unit * time, (unit + 1) * time);
  const row = (value - 1) * data.closely.units.length + data.closely.units.indexOf(unit);
  return closely.subarray(row * time, (row + 1) * time);
}

function colorOf(value) {
  return value > 0 ? `rgba(var(--on), ${(0.75 * value / 127).toFixed(2)})` : `rgba(var(--off), ${(-0.75 * value / 127).toFixed(2)})`;
}

function choose(unit) {
  state.unit = unit;
  unitList.value = unit;
  const inside = data.closely.units.includes(unit);
  for (const option of valueList.options) option.disabled = option.value !== "0" && !inside;
  if (!inside) { state.value = 0; valueList.value = 0; }
  color();
}

// The mean and spread of some values; a unit that hardly moves has the spread of what a byte can tell apart.
function level(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / time;
  return { mean, spread: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / time) || 1 };
}

function color() {
  const values = valuesOf(state.unit, state.value), { mean, spread } = level(values);
  const relative = document.getElementById("relative").checked;
  const shade = (value) => (relative ? Math.min(127, Math.max(-127, (63 * (value - mean)) / spread)) : value);
  tokens.forEach((token, at) => { token.style.backgroundColor = colorOf(shade(values[at])); });
  const what = [`unit ${unitName(state.unit)}, ${valueList.selectedOptions[0].textContent}`];
  if (follows(state.unit)) what.push(`follows: ${follows(state.unit)}`);
  if (data.best) what.push(`rank ${data.order.indexOf(state.unit) + 1} of ${data.order.length}`);
  document.getElementById("about").textContent = what.join("; ");
  if (state.at !== null) describeHere();
}

function goTo(at) {
  if (state.at !== null) tokens[state.at].classList.remove("here");
  state.at = Math.min(time - 1, Math.max(0, at));
  tokens[state.at].classList.add("here");
  tokens[state.at].scrollIntoView({ block: "nearest" });
  showHere();
}

// What the model expects at the token chosen, and which units are on there.
function showHere() {
  here.replaceChildren();
  element(element(here, "p"), "bdi");
  element(here, "p", { class: "hint" }, "On here, the units furthest from their own mean:");
  const list = element(here, "div", { class: "units" });
  const far = levels.map(({ mean, spread }, unit) => Math.abs(signal[unit * time + state.at] - mean) / spread);
  for (const unit of [...far.keys()].sort((a, b) => far[b] - far[a]).slice(0, ON)) {
    const value = signal[unit * time + state.at];
    unitButton(list, unit, `${unitName(unit)} ${fixed(value / 127, 2)}`).style.backgroundColor = colorOf(value);
  }
  describeHere();
}

function whatFollows(at) {
  if (at === time - 1) return "the text ends here";
  const next = isolated(data.tokens[at + 1]), loss = data.losses[at];
  return typeof loss === "number" ? `${next}, which comes, cost ${fixed(loss, 2)} nats` : `${next} follows, which is given`;
}

// What of it depends on the unit chosen: a button that has the focus keeps it.
function describeHere() {
  const at = state.at, value = fixed(valuesOf(state.unit, state.value)[at] / 127, 2);
  const guesses = data.guesses[at].map((place, line) => `${isolated(place)} ${data.shares[at][line]} %`).join(", ");
  const said = `token ${at}, ${isolated(data.tokens[at])}: unit ${unitName(state.unit)} is ${value}. Expected: ${guesses}; ${whatFollows(at)}.`;
  here.querySelector("bdi").textContent = said;
  here.querySelectorAll("button").forEach((button) => {
    button.classList.toggle("current", Number(button.dataset.unit) === state.unit);
  });
}

function unitButton(parent, unit, label = unitName(unit)) {
  const button = element(parent, "button", { type: "button", "data-unit": unit, title: follows(unit) }, label);
  button.addEventListener("click", () => choose(unit));
  return button;
}

function underlineBy(place) {
  const values = place === "" ? null : detectors.subarray(place * time, (place + 1) * time);
  tokens.forEach((token, at) => token.classList.toggle("detected", values !== null && values[at] > 0));
}

function writeControls() {
  for (const unit of data.order) element(unitList, "option", { value: unit }, `${unitName(unit)} ${follows(unit)}`);
  [data.signal, ...data.closely.names].forEach((name, value) => element(valueList, "option", { value }, name));
  for (const row of data.ranking) element(underline, "option", { value: row.place }, row.name);
  unitList.addEventListener("change", () => choose(Number(unitList.value)));
  valueList.addEventListener("change", () => { state.value = Number(valueList.value); color(); });
  underline.addEventListener("change", () => underlineBy(underline.value));
  document.getElementById("relative").addEventListener("change", color);
  document.getElementById("guesses").addEventListener("change", (event) => showGuesses(event.target.checked));
  document.getElementById("colors").addEventListener("change", (event) => {
    document.body.classList.toggle("safe", event.target.value === "safe");
  });
  text.addEventListener("click", (event) => {
    const token = event.target.closest(".token");
    if (token) goTo(Number(token.dataset.at));
  });
  text.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key], turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!move && !turn) return;
    event.preventDefault();
    if (move) goTo(state.at === null ? 0 : state.at + move);
    else choose(data.order[(data.order.indexOf(state.unit) + turn + data.order.length) % data.order.length]);
  });
}

function writeRanking() {
  document.getElementById("ranks").hidden = !data.ranking.length;
  const body = document.querySelector("#ranking tbody");
  for (const found of data.ranking) {
    const row = element(body, "tr");
    element(row, "th", { scope: "row" }, found.name + (found.graded ? " (graded)" : ""));
    unitButton(element(row, "td"), found.unit);
    const interval = found.interval.map((edge) => edge.toFixed(2)).join(" to ");
    const cells = [found.score.toFixed(2), interval, found.twin.toFixed(2), signed(found.score - found.twin, 2)];
    for (const cell of cells) element(row, "td", { class: "number" }, cell);
    row.addEventListener("click", () => { underline.value = found.place; underlineBy(found.place); });
  }
}

function signed(value, digits) {
  return (value < 0 ? "" : "+") + fixed(value, digits);
}

function writeCausal() {
  const found = data.causal;
  if (!found || !found.rows.length) return;
  document.getElementById("causal").hidden = false;
  document.getElementById("causal-note").textContent = found.note;
  const body = document.querySelector("#causal tbody");
  for (const entry of found.rows) {
    const row = element(body, "tr");
    element(row, "th", { scope: "row" }, entry.name);
    unitButton(element(row, "td"), entry.unit);
    for (const change of [entry.on, entry.off, entry.all]) element(row, "td", { class: "number" }, signed(change, 3));
    const cell = element(row, "td");
    unitButton(cell, entry.needed);
    cell.append(` ${signed(entry.neededOn, 3)}`);
  }
}

function writeMemory() {
  const found = data.memory;
  if (!found) return;
  document.getElementById("memory").hidden = false;
  document.getElementById("horizon").textContent = found.horizon;
  for (const chart of found.charts) lineChart(document.getElementById("charts"), chart);
}

// A small network as in Karpathy 2015: one-hot inputs below, hidden values, scores above, the right one green.
function writeNet() {
  const found = data.net;
  if (!found) return;
  document.getElementById("net").hidden = false;
  document.getElementById("net-note").textContent = found.note;
  for (const side of found.sides) drawNet(document.querySelector(".nets"), found, side);
}

function drawNet(parent, net, side) {
  const width = 46, height = 17, gap = 62, left = 74;
  const layers = [["scores", side.scores], ["hidden", side.hidden], ["input", net.inputs]];
  const tops = [34];
  for (const [, columns] of layers) tops.push(tops[tops.length - 1] + columns[0].length * height + 26);
  const svg = element(parent, "svg", { viewBox: `0 0 ${left + net.tokens.length * gap} ${tops[3] + 16}`, role: "img", "aria-label": side.title });
  element(svg, "text", { x: 4, y: 14, class: "caption" }, side.title);
  layers.forEach(([name, columns], layer) => {
    element(svg, "text", { x: 4, y: tops[layer] + 12, class: "caption" }, name);
    columns.forEach((values, at) => values.forEach((value, index) => {
      const [x, y] = [left + at * gap, tops[layer] + index * height], right = name === "scores" && index === net.targets[at];
      element(svg, "rect", { x, y, width, height, class: right ? "box right" : "box" });
      element(svg, "text", { x: x + width - 4, y: y + 12, "text-anchor": "end" }, name === "input" ? value : fixed(value, 2));
      if (name !== "hidden" && !at) element(svg, "text", { x: left - 6, y: y + 12, "text-anchor": "end" }, [...net.shown[index]].map(shown).join(""));
    }));
  });
  net.tokens.forEach((token, at) => {
    element(svg, "text", { x: left + at * gap + width / 2, y: tops[3], "text-anchor": "middle" }, [...token].map(shown).join(""));
    element(svg, "text", { x: left + at * gap + width / 2, y: 28, "text-anchor": "middle", class: "caption" }, `${fixed(side.losses[at], 2)} nats`);
  });
}

writeText();
writeControls();
writeRanking();
showGuesses(true);
choose(state.unit);
writeCausal();
writeMemory();
writeNet();
