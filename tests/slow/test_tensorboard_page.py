"""TensorBoard itself, in a headless Chromium, on a sweep of fifty jobs, one of which was broken off and resumed."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sweep_tools import folder_of, sweep

from rnnscope.format import watching
from rnnscope.monitor.chart_descriptions import CHARTS

RATES = "1e-4,2e-4,5e-4,1e-3,2e-3,5e-3,1e-2,2e-2,5e-2,1e-1"
SHARES = "0.0,0.1,0.2,0.3,0.5"
RESUMED = "dropout-0.1_lr-0.01"
SECONDS = 5.0  # until a tab is drawn
# of everything that the page shows, shadow roots included
TEXT = """const found = [], walk = node => {
    if (node.nodeType === 3 && node.textContent.trim()) found.push(node.textContent.trim());
    if (['STYLE', 'SCRIPT', 'TEMPLATE'].includes(node.tagName)) return;
    if (node.shadowRoot) node.shadowRoot.childNodes.forEach(walk);
    node.childNodes.forEach(walk);
}; walk(document.body); return found;"""
# elements, shadow roots included, that a test wants
ELEMENTS = """const found = [], walk = root => root.querySelectorAll('*').forEach(element => {
    if ((%s)(element)) found.push(element);
    if (element.shadowRoot) walk(element.shadowRoot);
}); walk(document);"""


@pytest.fixture(scope="module")
def fifty(story: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the sweep."""
    from rnnscope.cli import main

    outputs = tmp_path_factory.mktemp("fifty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(outputs))
        assert sweep(story, f"optimizer.lr={RATES}", f"model.dropout={SHARES}", "trainer.max_steps=20") == 0
        folder = folder_of(outputs)
        (folder / RESUMED / "checkpoints" / "last.ckpt").unlink()  # it goes on from the one before: ten steps are taken again
        assert main(["resume", f"run={folder / RESUMED}", "trainer.max_steps=30"]) == 0
    return folder


@pytest.fixture(scope="module")
def address(fifty: Path) -> Iterator[str]:
    """TensorBoard, started as the sweep says, once it has read all runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "tensorboard.main", *shlex.split(watching(fifty))[1:], "--port", str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            at = f"http://127.0.0.1:{port}"
            until(lambda: len(answer(at, "/data/plugin/scalars/tags")) == 50, 120)
            yield at
        finally:
            process.terminate()


def answer(address: str, path: str, **query: str) -> Any:
    """Return what TensorBoard's server says, what its pages are drawn from; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{address}{path}?{urlencode(query)}") as found:
            return json.load(found)
    except OSError:
        return {}


def until(ready: Callable[[], Any], seconds: float) -> float:
    """Return how many seconds passed until `ready`; no more than `seconds` may."""
    begin = time.monotonic()
    while not ready():
        assert time.monotonic() - begin < seconds, f"not ready within {seconds:.1f} s"
        time.sleep(0.1)
    return time.monotonic() - begin


def slowness() -> float:
    """Return how much longer than on a quiet machine everything takes now: a loop's time as a ratio of its CPU time."""
    begin, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < 0.3:
        pass
    return (time.perf_counter() - begin) / 0.3


def open_tab(browser: Any, address: str, tab: str) -> Callable[[], list[str]]:
    """Open a tab anew; what is returned reads its text."""
    browser.get("about:blank")
    browser.get(f"{address}/#{tab}")
    return lambda: browser.execute_script(TEXT)


def select(browser: Any, run: str) -> None:
    """Select a run in an older tab, which selects none where there are more than 40."""
    box = f"element => element.tagName === 'PAPER-CHECKBOX' && element.name === '{run}'"
    browser.execute_script(ELEMENTS % box + "found.forEach(box => box.click());")


TABS = {  # tab -> what is there when it is drawn
    "timeseries": "/cells.0",
    "scalars": "activations/cells.0/mean",
    "custom_scalars": "loss: train and val",
    "distributions": "activations/cells.0",
    "histograms": "activations/cells.0",
    "text": "train/loss",
    "hparams": "best/loss",
}


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_is_drawn_in_five_seconds(browser, address, tab):
    limit, begin = SECONDS * slowness(), time.monotonic()
    text = open_tab(browser, address, tab)
    until(lambda: RESUMED in text(), limit)
    select(browser, RESUMED)
    until(lambda: TABS[tab] in text(), limit)
    assert time.monotonic() - begin < limit
    assert not [
        entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]
    ]


def test_the_hparams_tab_lists_what_was_swept_and_what_came_of_it(browser, address):
    text = open_tab(browser, address, "hparams")
    until(lambda: RESUMED in text(), SECONDS * slowness())
    shown = text()
    head = shown[shown.index("Trial ID") : shown.index(RESUMED)]
    assert head[2:4] == ["model.dropout", "optimizer.lr"]
    assert "best/loss" in head


def test_the_names_of_runs_fit(browser, address):
    text = open_tab(browser, address, "timeseries")
    until(lambda: RESUMED in text(), SECONDS * slowness())
    named = f"element => !element.children.length && element.textContent.trim() === '{RESUMED}' && element.clientWidth > 0"
    cut = "return found.map(element => [element.scrollWidth, element.clientWidth]);"
    widths = browser.execute_script(ELEMENTS % named + cut)
    assert widths
    assert all(needed <= given for needed, given in widths)


@pytest.mark.parametrize("tag", ["train/loss", "val/loss", "update_size/all", "gates/cells.0/forget_mean"])
def test_a_resumed_run_shows_each_step_once(address, tag):
    steps = [step for _, step, _ in answer(address, "/data/plugin/scalars/scalars", run=RESUMED, tag=tag)]
    every = {"train/loss": 2, "update_size/all": 5}.get(tag, 10)
    assert steps == list(range(every, 31, every))


def test_samples_can_be_read(browser, address, fifty):
    """As they stand in samples.jsonl, line by line."""
    lines = (fifty / RESUMED / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    sample = [json.loads(line) for line in lines][-1]
    text = open_tab(browser, address, "text")
    until(lambda: RESUMED in text(), SECONDS * slowness())
    select(browser, RESUMED)
    read = ELEMENTS % "element => element.tagName === 'PRE'" + "return found.map(element => element.innerText);"
    until(lambda: sample["text"].strip() in map(str.strip, browser.execute_script(read)), 4 * SECONDS * slowness())


def test_the_card_says_what_each_chart_says(address):
    (card,) = answer(address, "/data/plugin/text/text", run=RESUMED, tag="charts/text_summary")
    rows = re.findall(r"<li>\s*<code>(.*?)</code>: (.*?)</li>", card["text"], re.S)
    assert [unescape(tag) for tag, _ in rows] == list(CHARTS)
    explained = {plain(text) for _, text in rows}
    tags = answer(address, "/data/plugin/scalars/tags")[RESUMED]
    assert len(tags) > 30
    assert not {tag for tag, about in tags.items() if plain(about["description"]) not in explained}


def plain(html: str) -> str:
    return " ".join(unescape(re.sub("<.*?>", "", html)).split())
