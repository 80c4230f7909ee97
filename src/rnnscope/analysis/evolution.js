// Draws the charts of evolution.html and writes its samples, in which words that no sample before had are marked.
const { charts, samples } = JSON.parse(document.getElementById("data").textContent);

function writeSample(sample) {
  const article = element(document.getElementById("samples"), "article");
  element(article, "h3", {}, `Step ${sample.step.toLocaleString("en")}`);
  const real = sample.real === null ? "" : `; ${sample.real} % of its words are real`;
  const fresh = sample.new.length ? `; the first time: ${sample.new.slice(0, 10).join(", ")}` : "";
  element(article, "p", { class: "hint" }, `temperature ${sample.temperature}${real}${fresh}`);
  const pre = element(article, "pre"), fresher = new Set(sample.new);
  for (const piece of sample.text.split(/([\p{L}\p{M}]+)/u)) {
    if (fresher.has(piece.toLowerCase())) element(pre, "mark", {}, piece);
    else pre.append(piece);
  }
}

for (const chart of charts) lineChart(document.getElementById("charts"), chart);
samples.forEach(writeSample);
if (!samples.length) element(document.getElementById("samples"), "p", { class: "hint" }, "This run wrote no samples.");
