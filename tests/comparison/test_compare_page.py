"""The page of `rnnscope compare html=`, in a real browser: what it shows, what a click does, what hostile text does not do."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from test_compare import ESCAPES, put_run, with_result

from rnnscope.cli import main
from rnnscope.web_page import script_json

HOSTILE = '</script><script>window.owned=1</script><img src=x onerror="window.owned=1"><b>bold</b>&amp;\u2028' + ESCAPES


@pytest.fixture
def show(browser, tmp_path, capsys):
    """Write the page of the runs in the outputs folder, open it, and check that nothing was complained of or fetched."""
    complaints: list[str] = []

    def run(*words: str) -> Any:
        path = tmp_path / "report (1).html"
        assert main(["compare", f"html={path}", *words]) == 0, capsys.readouterr().err
        complaints.append(capsys.readouterr().err)
        browser.get(path.as_uri())
        return browser

    yield run
    assert not any(complaints)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def all_of(browser, selector: str) -> list[Any]:
    return browser.find_elements("css selector", selector)


def one_of(browser, selector: str) -> Any:
    (found,) = all_of(browser, selector)
    return found


def names(browser) -> list[str]:
    """Return the runs of the table from top to bottom."""
    return [head.get_attribute("data-value") for head in all_of(browser, "#runs tbody th")]


@pytest.fixture
def three(trained_run, outputs: Path) -> Path:
    """Outputs with three runs, one of which diverged."""
    runs = (("a", 3.5, 0.01, "finished"), ("b", 2.25, 0.002, "interrupted"), ("c", 12.0, 0.3, "diverged"))
    for name, bits, lr, status in runs:
        put_run(trained_run.path, outputs / "runs" / "x" / name, status=status, **with_result(bits, **{"optimizer.lr": lr}))
    return outputs


def test_the_table_and_its_winner(three, show):
    page = show()
    assert names(page) == ["x/b", "x/a", "x/c"]
    assert [head.text.replace("\n", "") for head in all_of(page, "#runs thead th")] == [
        *("run", "bits per character", "optimizer.lr", "status", "steps", "time", "tokens/s", "parameters")
    ]
    best = one_of(page, "#runs tr.best")
    assert best.text.split()[:4] == ["b", "★", "best", "2.2500"]
    assert "interrupted" in best.text
    assert "x/b with 2.2500 bits per character" in one_of(page, "header").text
    assert all(head.get_attribute("scope") == "col" for head in all_of(page, "#runs thead th"))
    assert all(head.get_attribute("scope") == "row" for head in all_of(page, "#runs tbody th"))


def test_a_click_on_a_head_sorts(three, show):
    page = show()
    heads = {head.text.replace("\n", ""): head for head in all_of(page, "#runs thead th")}
    assert heads["bits per character"].get_attribute("aria-sort") == "ascending"
    for label, first, then in (
        ("optimizer.lr", ["x/b", "x/a", "x/c"], ["x/c", "x/a", "x/b"]),
        ("bits per character", ["x/b", "x/a", "x/c"], ["x/c", "x/a", "x/b"]),  # 12.0 is more than 3.5: as numbers
        ("run", ["x/a", "x/b", "x/c"], ["x/c", "x/b", "x/a"]),
    ):
        button = heads[label].find_element("css selector", "button")
        for order, word in ((first, "ascending"), (then, "descending")):
            button.click()
            assert names(page) == order
            assert heads[label].get_attribute("aria-sort") == word
            assert len(all_of(page, "#runs thead th:not([aria-sort=none])")) == 1


def curves(page, chart: str, run: str = "") -> list[str]:
    """Return the paths drawn in a chart, those of one run."""
    wanted = f'[data-run="{run}"]' if run else ""
    return [path.get_attribute("d") for path in all_of(page, f"#{chart} g{wanted} > path.curve")]


def test_curves_are_drawn_and_the_legend_hides_them(three, show, trained_run):
    page = show()
    with trained_run.metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = {tag: sum(bool(row[tag]) for row in rows) for tag in ("train/loss", "val/loss", "update_size/all")}
    counts = sorted(len(path.split("L")) for path in curves(page, "loss"))
    assert counts == sorted([points["train/loss"], points["val/loss"]] * 3)
    assert [len(path.split("L")) for path in curves(page, "update")] == [points["update_size/all"]] * 3
    buttons = all_of(page, "#legend button[data-index]")
    assert [button.text.split()[0] for button in buttons] == ["★", "a", "c"]
    buttons[1].click()
    assert buttons[1].get_attribute("aria-pressed") == "false"
    assert not curves(page, "loss", "x/a")
    assert not curves(page, "update", "x/a")
    assert len(curves(page, "loss")) == 4
    buttons[1].click()
    assert len(curves(page, "loss", "x/a")) == 2
    one_of(page, "input[value=train]").click()
    assert len(curves(page, "loss")) == 3


def drawn_at(page, chart: str, kind: str) -> tuple[float, float]:
    """Return the last point of a curve in the chart's own pixels."""
    path = all_of(page, f"#{chart} path.curve.{kind}")[0].get_attribute("d")
    x, y = map(float, path.split("L")[-1].split())
    return x, y


def test_the_axes_have_units_and_values_can_be_read(three, show, trained_run):
    page = show()
    last = json.loads((trained_run.path / "run.json").read_text())["last"]
    texts = [text.text for text in all_of(page, "#loss text")]
    assert {"optimizer steps", "loss, bits per character"} <= set(texts)
    assert "log₁₀ (update / parameter)" in [text.text for text in all_of(page, "#update text")]
    chart = one_of(page, "#loss")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    width, height = chart.size["width"], chart.size["height"]
    x, y = drawn_at(page, "loss", "val")
    pointer = webdriver.ActionChains(page)
    pointer.move_to_element_with_offset(chart, round(x - width / 2), round(y - height / 2)).perform()
    tip = one_of(page, "#tip").text
    assert "step 30" in tip
    assert f"{last['val/bits_per_character']:.4f}"[:-1] in tip
    one_of(page, "input[value=nats]").click()
    one_of(page, "input[value=tokens]").click()
    texts = [text.text for text in all_of(page, "#loss text")]
    assert {"training tokens", "loss, nats per token"} <= set(texts)
    page.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", chart)
    chart.send_keys(*([webdriver.Keys.ARROW_RIGHT] * 50))
    assert f"{last['val/loss']:.4f}"[:-1] in one_of(page, "#tip").text


def test_a_stretch_can_be_looked_at_closely(three, show):
    page = show()
    chart, reset = one_of(page, "#loss"), one_of(page, ".reset")
    assert not reset.is_displayed()
    whole = curves(page, "loss")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    pointer = webdriver.ActionChains(page)
    pointer.move_to_element_with_offset(chart, -100, 0).click_and_hold().move_by_offset(150, 0).release().perform()
    assert curves(page, "loss") != whole
    reset.click()
    assert curves(page, "loss") == whole


def test_the_final_samples(three, show, trained_run):
    page = show()
    samples = [json.loads(line) for line in trained_run.samples.read_text().splitlines()]
    (text,) = [sample["text"] for sample in samples if sample["step"] == 30 and sample["temperature"] == 0.8]
    shown = [pre.get_property("textContent") for pre in all_of(page, "article pre")]
    assert shown == [text] * 3
    assert one_of(page, "article.best h3").text.split() == ["b"]
    assert "step 30, temperature 0.8" in one_of(page, "article.best").text


def test_hostile_text_is_shown_as_text(trained_run, outputs, show, tmp_path):
    name = HOSTILE.replace("/", "\u2215")
    hostile = with_result(1.0, **{"model.x": HOSTILE, HOSTILE: 1})
    folder = put_run(trained_run.path, outputs / "runs" / "x" / name[:80], **hostile)
    sample = {"step": 99, "prompt": HOSTILE, "temperature": 1, "text": HOSTILE + "\ud800{{script}}"}
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    put_run(trained_run.path, outputs / "runs" / "x" / "a", **with_result(2.0, **{"model.x": "y", HOSTILE: 2}))
    page = show()
    assert page.execute_script("return window.owned") is None
    assert not all_of(page, "img, td b, th b, pre b, #legend b")
    assert len(all_of(page, "script")) == 2
    assert HOSTILE[:30] in one_of(page, "tr.best").text
    assert HOSTILE[:30] in one_of(page, "#runs thead").text.replace("\n", "")
    texts = one_of(page, "article.best pre").get_property("textContent")
    assert texts.count("<b>bold</b>&amp;") == 2
    assert texts.endswith("{{script}}")
    assert "\x1b" not in (tmp_path / "report (1).html").read_text(encoding="utf-8")
    page.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.owned = 1'; document.body.append(made)"
    )
    assert page.execute_script("return window.owned") is None  # the policy stands even where a tag had got through
    assert "Content Security Policy" in page.get_log("browser")[0]["message"]


def test_json_in_a_script_cannot_end_it():
    hostile = {"a": "</script><!--", "b\u2028": ["&", "\u2029", 1.5, None]}
    text = script_json(hostile)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == hostile


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_both_modes(three, show, scheme):
    page = show()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    colors = page.execute_script(
        """const look = (selector, key) => getComputedStyle(document.querySelector(selector))[key];
        return [look("#runs td", "color"), look("section", "backgroundColor"), look(".hint", "color"),
                look("tr.best td", "color"), look("tr.best td", "backgroundColor"),
                ...["k0", "k1", "k2"].map((name) => look(`.swatch.${name}`, "color"))]"""
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    ink, card, hint, best, best_card, *lines = [[int(part) for part in re.findall(r"\d+", color)[:3]] for color in colors]
    assert (sum(card) < 200) == (scheme == "dark")
    assert contrast(ink, card) > 7
    assert min(contrast(hint, card), contrast(best, best_card)) > 4.5  # WCAG AA
    assert min(contrast(line, card) for line in lines) > 3


def contrast(first: list[int], second: list[int]) -> float:
    """Return the contrast ratio of two colors as WCAG 2 defines it."""

    def luminance(color: list[int]) -> float:
        parts = [part / 255 for part in color]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted([luminance(first), luminance(second)])
    return (light + 0.05) / (dark + 0.05)


def test_a_narrow_window_scrolls_the_table_alone(three, show):
    page = show()
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    widths = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert widths[0] <= widths[1]


def test_fifty_long_runs_are_a_small_page(trained_run, outputs, show, tmp_path):
    with trained_run.metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    sample = json.dumps({"step": 20_000, "prompt": "", "temperature": 1, "text": "é<" * 5000})
    for index in range(50):
        folder = put_run(trained_run.path, outputs / "runs" / "x" / f"{index:02}", **with_result(2 + index / 50, seed=index))
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            for step in range(1, 2001):
                loss = {tag: repr(3 + index / 50 + 30 / step) for tag in ("train/loss", "val/loss", "update_size/all")}
                writer.writerow(rows[-1] | {"step": step * 10} | loss)
        (folder / "samples.jsonl").write_text(sample + "\n")
    page = show()
    assert (tmp_path / "report (1).html").stat().st_size < 2_000_000
    assert len(all_of(page, "#runs tbody tr")) == 50
    assert len(curves(page, "loss")) == 100
    assert len(all_of(page, "#legend button[data-index]")) == 50
    looks = {group.get_attribute("class") for group in all_of(page, "#update g[data-run]")}
    assert looks == {*(f"k{index}" for index in range(7)), *(f"k{index} dashed" for index in range(7)), "rest"}


def test_runs_without_curves_or_samples(trained_run, outputs, show):
    folder = put_run(
        trained_run.path, outputs / "runs" / "x" / "young", status="running", progress={"step": 0}, last=None, best=None
    )
    (folder / "metrics.csv").write_text((folder / "metrics.csv").read_text().splitlines()[0] + "\n")
    (folder / "samples.jsonl").unlink()
    page = show()
    assert "validated" in one_of(page, "header").text
    assert not all_of(page, "#runs tr.best")
    assert not one_of(page, "#curves").is_displayed()
    assert "sample" in one_of(page, "article").text
    assert not all_of(page, "article pre")


def test_the_page_of_two_runs(three, show):
    page = show("run=x/a", "with=x/c")
    assert [name.rpartition("/")[2] for name in names(page)] == ["a", "c"]
    assert len(curves(page, "loss")) == 4


def test_groups_are_means_with_bands(trained_run, outputs, show):
    for cell, bits in (("lstm", 2.0), ("gru", 3.0)):
        for seed in (1, 2):
            changes = with_result(bits + seed / 10, **{"model.cell": cell, "seed": seed})
            put_run(trained_run.path, outputs / "sweeps" / "s" / f"{cell}-{seed}", **changes)
    page = show("group=seed")
    assert names(page) == ["model.cell=lstm", "model.cell=gru"]
    assert "model.cell=lstm is 1.0000 bits per character below model.cell=gru" in one_of(page, "header").text
    assert len(all_of(page, "#loss path.spread")) == 4  # training and validation of both
    assert "standard deviation" in one_of(page, "#loss-note").text


def test_the_curve_of_a_diverged_run_ends_where_it_diverged(trained_run, outputs, show):
    run = put_run(trained_run.path, outputs / "runs" / "x" / "a", status="diverged")
    (run / "metrics.csv").write_text("step,train/loss,train/bits_per_character,best/loss\n10,2,3,2\n20,1.5,2,2\n30,inf,inf,2\n")
    page = show()
    (curve,) = curves(page, "loss")
    assert len(curve.split("L")) == 2
    assert page.execute_script("return state.unit") == "bits"


def test_what_a_stretch_contains_is_in_view(trained_run, outputs, show):
    for name, level in (("a", 1.0), ("b", 1.5)):
        run = put_run(trained_run.path, outputs / "runs" / "x" / name)
        rows = [f"{step},{level + 40 / step}" for step in range(10, 6010, 60)]
        (run / "metrics.csv").write_text("\n".join(["step,train/loss", *rows, ""]))
    page = show()
    page.execute_script("state.unit = 'nats'; state.zoom = [3000, 6000]; drawAll()")
    assert page.execute_script("return charts[0].y0 < 1.01 && charts[0].y1 > 1.51")
    across = page.execute_script("state.zoom = [1234000, 1264000]; drawAll(); return ticks(1234000, 1264000, 7)")
    shown = page.execute_script(f"return {across['found']}.map((x) => short(x, {across['step']}))")
    assert len(set(shown)) == len(shown) > 3
    assert shown[0] == "1.235M"


def test_curves_against_seconds_and_a_rate_of_zero(trained_run, outputs, show):
    run = put_run(trained_run.path, outputs / "runs" / "x" / "a")
    metrics = "step,update_size/all,train/loss\n10,-3,2\n20,0.5,1.5\n30,-8,1\n"
    (run / "metrics.csv").write_text(metrics)
    (run / "timings.csv").write_text("step,throughput/seconds\n10,5\n20,20\n30,25\n")
    page = show()
    assert len(all_of(page, "#update path.below")) == 1
    (curve,) = curves(page, "update")
    assert len(curve.split("L")) == 2
    ticks = [float(text.text.replace("\u2212", "-")) for text in all_of(page, "#update text[text-anchor=end]")]
    assert (min(ticks) >= -5, max(ticks) <= 0) == (True, True)
    across = [float(point.split()[0]) for point in curves(page, "loss")[0][1:].split("L")]
    one_of(page, "[name=axis][value=seconds]").click()
    later = [float(point.split()[0]) for point in curves(page, "loss")[0][1:].split("L")]
    assert (across[1] - across[0]) / (across[2] - across[1]) == pytest.approx(1, rel=0.01)
    assert (later[1] - later[0]) / (later[2] - later[1]) == pytest.approx(3, rel=0.01)
