"""What several tests share."""

import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:  # as under nohup or in a shell's background: processes begun here inherit it
        signal.signal(number, handler)
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
settings.load_profile("tests")
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # several processes run the tests side by side

AWKWARD = "(brackets), [more], {and}; 'quotes' \"too\" = # $HOME ${HOME} \\ % ~ ! * _ - 日本語 0123456789 <pre> a:b/c?\n"
TINY = [  # a training of a second
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.precision=float32",
    "trainer.max_steps=30",
    "trainer.val_every=10",
    "trainer.checkpoint_every=10",
    "model.hidden_size=16",
    "model.embedding_size=16",
    "dataset.batch_size=4",
    "dataset.sequence_length=12",
    "dataset.val_batch_size=2",
    "monitor.scalars_every=2",
    "monitor.updates_every=5",
    "monitor.histograms_every=10",
    "monitor.activations_every=10",
    "monitor.sample_length=12",
]

BROWSER = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
BROWSER += ["disable-component-update", "disable-sync", "window-size=1200,1400"]


@pytest.fixture
def shared_data() -> Path:
    """The folder of real texts, or a skip where there is none."""
    folder = Path(os.environ.get("RNNSCOPE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "tiny_shakespeare.txt").is_file():
        pytest.skip("no real texts here: set RNNSCOPE_DATA")
    return folder


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that runs and cache go to."""
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of a few thousand characters, awkward ones among them, the same every time."""
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyzABC", k=draw.randint(1, 7))) for _ in range(60)]
    lines = [" ".join(draw.choices(words, k=draw.randint(3, 9))) + ".\n" for _ in range(120)]
    lines[::10] = [AWKWARD] * len(lines[::10])
    path = tmp_path_factory.mktemp("story") / "story.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@contextmanager
def nobody() -> Iterator[None]:
    """Root may read everything: be nobody for a while."""
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


def train(*words: str) -> Any:
    """Train what `rnnscope train TINY *words` would, in this process, and return the result."""
    from rnnscope.config.compose import compose_train
    from rnnscope.pipeline.fit import fit

    return fit(compose_train([*TINY, *words]))


@pytest.fixture(scope="session")
def tiny_run(story: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The result of one finished training, to be read only; RNNSCOPE_OUTPUTS of its time is `.run.path.parents[2]`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
        split = ["dataset.split.train=0.8", "dataset.split.val=0.1", "dataset.split.test=0.1"]
        yield train("dataset=text_files", f"dataset.corpus.path={story}", *split, "trainer.keep_every=20")


@pytest.fixture(scope="session")
def trained_run(tiny_run: Any) -> Any:
    """The folder of that training: its `path`, `metrics`, `checkpoints` and so on."""
    return tiny_run.run


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; without one a skip, or a failure where RNNSCOPE_REQUIRE_BROWSER says that there must be one."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        (pytest.fail if os.environ.get("RNNSCOPE_REQUIRE_BROWSER") else pytest.skip)(
            "there is no chromium with chromedriver here"
        )
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*BROWSER, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()
