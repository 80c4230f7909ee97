"""`make figures`: the pictures in docs/pictures/, from trainings of their own.

A sweep of four models learns Tiny Shakespeare, in about five minutes, and one of five sizes in eight; a second call continues
or reuses them. Then a browser without a window opens TensorBoard with two of the runs, the page of `rnnscope compare` for both
sweeps, and that of `rnnscope visualize` on the run that comes with the package.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
OUTPUTS = Path(os.environ.get("RNNSCOPE_OUTPUTS", ROOT / "outputs")) / "figures"
SWEEP = [
    "name=width_and_rate",
    "experiment=tiny_shakespeare_quick",
    "model.hidden_size=128,256",
    "optimizer.lr=2e-3,6e-3",
    "schedule.final_fraction=0.1",  # update sizes stay on the chart to the end
    "trainer.max_steps=2000",
    "trainer.val_every=200",
    "trainer.checkpoint_every=200",
    "trainer.threads=1",
    "monitor.sample_length=400",
]
SIZES = ["sweep=scaling", "name=scaling", "trainer.max_minutes=1.5"]
TWO = {"large-256": "hidden_size-256_lr-0.006", "small-128": "hidden_size-128_lr-0.006"}  # shown in TensorBoard, by these names
PINNED = ["val/loss", "update_size/embedding.weight", "update_size/head.weight"]
SAMPLE = "samples/temperature_0.5"
PASSAGE = """HAMLET:
To be, or not to be: that is the question:
Whether 'tis nobler in the mind to suffer
The slings and arrows of outrageous fortune,
Or to take arms against a sea of troubles,
And by opposing end them. To die: to sleep;
No more; and by a sleep to say we end
The heart-ache and the thousand natural shocks
That flesh is heir to, 'tis a consummation
Devoutly to be wish'd.
"""
UNIT = "0:59"  # of the shipped run: it follows the position in a line
WIDTH = 1360
PAGE_WIDTH = 1140  # of compare's page: samples in two columns
FLAGS = ("headless=new", "no-sandbox", "hide-scrollbars", "force-device-scale-factor=1", "disable-dev-shm-usage")


def rnnscope(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "rnnscope", *words], check=True, env=os.environ | {"RNNSCOPE_OUTPUTS": str(OUTPUTS)})


@contextmanager
def browser() -> Iterator[Any]:
    """A headless chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_page_load_timeout(120)
    try:
        yield driver
    finally:
        driver.quit()


def picture(driver: Any, height: int) -> Image.Image:
    """The top of what the browser shows."""
    shown = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    return shown.crop((0, 0, shown.width, min(height, shown.height)))


def wait_for(driver: Any, script: str, what: str) -> None:
    """Wait until a script returns something true, then until the page has been drawn."""
    for _ in range(120):
        if driver.execute_script(f"return {script}"):
            time.sleep(3)
            return
        time.sleep(1)
    raise RuntimeError(f"{what} did not appear within two minutes")


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """TensorBoard on the runs under outputs/ in a folder; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--logdir", "outputs", "--port", str(port), "--samples_per_plugin", "text=1000,scalars=10000"]
    with subprocess.Popen([sys.executable, "-m", "tensorboard.main", *words], cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(120):
                with socket.socket() as probe:
                    if not probe.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def draw_tensorboard() -> None:
    """Curves and update sizes of two runs above, what one of them writes below."""
    with tempfile.TemporaryDirectory() as folder, browser() as driver:
        (Path(folder) / "outputs").mkdir()
        for name, job in TWO.items():
            (Path(folder) / "outputs" / name).symlink_to(OUTPUTS / "sweeps" / "width_and_rate" / job)
        with tensorboard(Path(folder)) as address:
            time.sleep(10)  # it reads the runs
            cards = quote(json.dumps([{"plugin": "scalars", "tag": tag} for tag in PINNED]))
            driver.set_window_size(WIDTH, 1100)
            driver.get(f"{address}/?pinnedCards={cards}&smoothing=0#timeseries")
            loaded = f"document.querySelectorAll('scalar-card line-chart').length >= {len(PINNED)}"
            wait_for(driver, f"{loaded} && !document.querySelector('mat-spinner')", "the charts")
            driver.execute_script("document.querySelector('[aria-label=\"Close side pane\"]').click()")
            time.sleep(3)
            above = picture(driver, 560)
            driver.get("about:blank")  # else it stays on the tab before
            driver.get(f"{address}/#text&tagFilter={quote(SAMPLE)}")
            wait_for(driver, "document.body.innerText.length > 0", "the samples")
            time.sleep(5)
            below = picture(driver, 640)
    save(stacked(above, below), "tensorboard.png")


@contextmanager
def compared(sweep: str) -> Iterator[Any]:
    """A browser that shows the page of `rnnscope compare html=` for a sweep."""
    with tempfile.TemporaryDirectory() as folder, browser() as driver:
        page = Path(folder) / "page.html"
        rnnscope("compare", f"folder={OUTPUTS / 'sweeps' / sweep}", f"html={page}")
        driver.set_window_size(PAGE_WIDTH, 1000)
        driver.get(page.as_uri())
        yield driver


def draw_compare() -> None:
    """The whole page of `rnnscope compare html=`."""
    with compared("width_and_rate") as driver:
        height = driver.execute_script("return document.documentElement.scrollHeight")
        driver.set_window_size(PAGE_WIDTH, height + 200)
        wait_for(driver, "document.querySelectorAll('#loss path.curve').length >= 8", "the curves")
        save(picture(driver, height), "compare.png")


def draw_scaling() -> None:
    """Validation losses of five sizes against the seconds trained, in the page of `rnnscope compare html=`."""
    with compared("scaling") as driver:
        driver.set_window_size(PAGE_WIDTH, 2000)
        for value in ("seconds", "nats", "train"):  # the last one hides training losses
            driver.find_element("css selector", f"input[value={value}]").click()
        wait_for(driver, "document.querySelectorAll('#loss path.curve').length >= 5", "the curves")
        top, chart = (driver.find_element("css selector", place).rect for place in ("#curves", "#loss"))
        whole = picture(driver, 2000)
        save(whole.crop((0, int(top["y"]) - 6, whole.width, int(chart["y"] + chart["height"]) + 6)), "scaling.png")


def draw_inside() -> None:
    """The text of `rnnscope visualize`, colored by a unit."""
    with tempfile.TemporaryDirectory() as folder, browser() as driver:
        page = Path(folder) / "inside.html"
        words = [f"text={PASSAGE}", f"unit={UNIT}", "memory=false", "causal=false", f"output={page}"]
        rnnscope("visualize", "run=examples/shakespeare", *words)
        driver.set_window_size(PAGE_WIDTH, 1000)
        driver.get(page.as_uri())
        wait_for(driver, "document.querySelectorAll('#text *').length > 100", "the text")
        save(picture(driver, 860), "inside.png")


def stacked(above: Image.Image, below: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (WIDTH, above.height + below.height + 4), "#888888")
    whole.paste(above, (0, 0))
    whole.paste(below, (0, above.height + 4))
    return whole


def save(image: Image.Image, name: str) -> None:
    """Write a picture with 256 colors, chosen so that those of all curves are among them."""
    image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3).save(PICTURES / name, optimize=True)
    print(f"wrote {PICTURES / name}: {image.width} x {image.height}, {(PICTURES / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    rnnscope("train", "-m", *SWEEP)
    rnnscope("train", *SIZES)
    draw_compare()
    draw_scaling()
    draw_tensorboard()
    draw_inside()
