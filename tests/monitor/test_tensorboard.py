"""What a training leaves for TensorBoard, read back from the event file as TensorBoard reads it."""

import csv
import json
import re
import struct
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing import plugin_event_accumulator  # what TensorBoard itself uses
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from rnnscope.monitor.chart_descriptions import CHARTS, layout, meaning
from rnnscope.monitor.tensorboard import TensorBoardWriter, verbatim

PARAMETERS = ["embedding.weight", "cells.0.weight_ih_l0", "cells.0.weight_hh_l0", "cells.0.bias_ih_l0", "cells.0.bias_hh_l0"]
PARAMETERS += ["head.weight", "head.bias"]
INSIDE = ("activations/", "gates/", "gradient_through_time/")  # in TensorBoard alone
EVERYTHING = dict.fromkeys(("scalars", "tensors", "histograms", "images", "audio"), 0)  # 0: no point is left out


def board_of(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), EVERYTHING).Reload()


def scalars_of(board: EventAccumulator) -> dict[str, dict[int, float]]:
    """Return the value at each step of every tag in the scalars tab."""
    tags = [tag for tag, about in board.summary_metadata.items() if about.plugin_data.plugin_name == "scalars"]
    return {tag: {event.step: event.tensor_proto.float_val[0] for event in board.Tensors(tag)} for tag in tags}


@pytest.fixture(scope="module")
def board(tiny_run) -> EventAccumulator:
    return board_of(tiny_run.run.path)


@pytest.fixture(scope="module")
def rows(tiny_run) -> dict[str, dict[int, float]]:
    """The columns of metrics.csv and timings.csv by step."""
    columns: dict[str, dict[int, float]] = {}
    for path in (tiny_run.run.metrics, tiny_run.run.timings):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, cell in row.items():
                    if cell and name not in ("step", "epoch", "tokens"):
                        columns.setdefault(name, {})[int(row["step"])] = float(cell)
    return columns


def scalar_tags() -> dict[str, list[int]]:
    """Every scalar tag that a character-level run has, with its steps in the tiny run."""
    tags = {
        f"{where}/{what}": list(range(2, 31, 2)) if where == "train" else [10, 20, 30]
        for where in ("train", "val")
        for what in ("loss", "bits_per_character", "accuracy")
    }
    for name in ("learning_rate", "gradient_norm/all", "gradient_norm/clipped_fraction"):
        tags[name] = list(range(2, 31, 2))
    for name in ("tokens_per_second", "seconds", "memory_gigabytes"):
        tags[f"throughput/{name}"] = list(range(2, 31, 2))
    for name in ("all", *PARAMETERS):
        tags[f"update_size/{name}"] = list(range(5, 31, 5))
    inside = [f"activations/cells.0/{what}" for what in ("mean", "spread", "state_size")]
    inside += [f"gates/cells.0/{gate}_{what}" for gate in ("input", "forget", "output") for what in ("mean", "saturated")]
    inside += [f"gradient_through_time/lag_{lag}" for lag in (1, 2, 4, 8)]
    tags |= {tag: [10, 20, 30] for tag in inside}
    return tags | {"best/loss": [10, 20, 30], "best/bits_per_character": [10, 20, 30]}


def test_every_scalar_tag_at_its_steps(board):
    assert {tag: list(points) for tag, points in scalars_of(board).items()} == scalar_tags()
    assert board.Tags()["scalars"] == []  # the older kind of value, whose description TensorBoard drops


def test_values_are_those_of_the_csv_to_the_bit(board, rows):
    def float32(value: float) -> float:
        return struct.unpack("f", struct.pack("f", value))[0]

    shown = {tag: points for tag, points in scalars_of(board).items() if not tag.startswith(INSIDE)}
    assert shown == {tag: {step: float32(value) for step, value in column.items()} for tag, column in rows.items()}


def test_every_histogram_counts_every_value(board, tiny_run):
    from safetensors.torch import load_file

    sizes = {name: value.numel() for name, value in load_file(tiny_run.run.weights).items()}
    assert set(sizes) == set(PARAMETERS)
    expected = {f"{kind}/{name}" for kind in ("parameters", "updates") for name in PARAMETERS}
    assert {tag for tag in board.Tags()["histograms"] if not tag.startswith(INSIDE)} == expected
    for tag in expected:
        events = board.Histograms(tag)
        assert [event.step for event in events] == [10, 20, 30]
        for event in events:
            value, count = event.histogram_value, sizes[tag.partition("/")[2]]
            assert value.num == sum(value.bucket) == count
            assert value.min <= value.sum / count <= value.max


def test_samples_stand_there_verbatim(board, tiny_run):
    lines = [json.loads(line) for line in tiny_run.run.samples.read_text(encoding="utf-8").splitlines()]
    for temperature in (0.5, 0.8, 1.0):
        events = board.Tensors(f"samples/temperature_{temperature}/text_summary")
        texts = [line["text"] for line in lines if line["temperature"] == temperature]
        assert [event.step for event in events] == [10, 20, 30]
        assert [event.tensor_proto.string_val[0].decode() for event in events] == [verbatim(text) for text in texts]


NASTY = {
    "html": "</pre><script>alert(1)</script>&amp;",
    "markdown": "# no heading\n* no list\n```\nno fence\n1. x\n> y",
    "tabs and spaces": "\ta \n  b  \n\n\nend  ",
    "NUL and surrogate": "a\0b\ud800c",
    "other controls": "a\rb\r\nc\u2028d\x0be\x02f",
    "scripts": "日本語 עברית é🙂",
}


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_text_comes_back(tmp_path, name):
    text = NASTY[name]
    board = TensorBoardWriter(tmp_path)
    board.text(3, "samples/x", text)
    board.close()
    (event,) = board_of(tmp_path).Tensors("samples/x/text_summary")
    read = event.tensor_proto.string_val[0].decode("utf-8")
    assert all(line.startswith("    ") for line in read.split("\n"))
    plain = "\n".join(line[4:] for line in read.split("\n"))
    shown = text.replace("\r\n", "\n").replace("\ud800", "?")
    for code, picture in ((0, "\u2400"), (2, "\u2402"), (13, "\u240d"), (11, "\u240b")):
        shown = shown.replace(chr(code), picture)
    assert plain == shown


@pytest.mark.parametrize("name", NASTY)
def test_markdown_shows_a_nasty_text_as_code(name):
    from tensorboard.plugin_util import markdown_to_safe_html

    html = markdown_to_safe_html(verbatim(NASTY[name]))
    assert html.count("<pre><code>") == 1
    for tag in ("<h1>", "<ul>", "<ol>", "<script>", "<blockquote>", "<p>"):
        assert tag not in html


def test_charts_describe_themselves(tiny_run, board):
    (path,) = tiny_run.run.path.glob("events.out.*")
    described = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.metadata.summary_description:
                described.setdefault(value.tag, value.metadata.summary_description)
    assert set(described) >= set(scalars_of(board))
    assert described["val/loss"] == CHARTS["val/loss"]
    assert "-3 is healthy" in described["update_size/head.weight"]


def test_train_and_val_share_a_chart_and_update_sizes_have_one(board):
    (event,) = board.Tensors("custom_scalars__config__")
    found = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in found.category for chart in category.chart}
    assert charts["loss: train and val"] == ["train/loss", "val/loss"]
    assert charts["each parameter"] == ["update_size/.*"]
    assert len(charts) == sum(len(category) for category in layout().values())


def hyperparameters(folder: Path) -> tuple[dict, set[str]]:
    """Return the values in the HParams tab and the metrics that it lists."""
    content = board_of(folder).summary_metadata
    read = plugin_data_pb2.HParamsPluginData.FromString
    start = read(content["_hparams_/session_start_info"].plugin_data.content).session_start_info
    experiment = read(content["_hparams_/experiment"].plugin_data.content).experiment
    values = {key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()}
    return values, {info.name.tag for info in experiment.metric_infos}


def test_the_hparams_tab_lists_what_was_set_and_what_came_of_it(tiny_run):
    values, metrics = hyperparameters(tiny_run.run.path)
    assert values["model.hidden_size"] == 16
    assert values["optimizer.name"] == "adamw"
    assert values["optimizer.lr"] == pytest.approx(0.004)
    assert values["trainer.max_epochs"] == "none"
    assert metrics == {"best/loss", "best/bits_per_character"}


def test_values_that_are_no_numbers_are_left_out_of_a_histogram(tmp_path):
    board = TensorBoardWriter(tmp_path)
    board.histograms(1, {"parameters/x": torch.tensor([1.0, float("nan"), 3.0, float("inf")]), "parameters/y": torch.ones(3)})
    board.close()
    read = board_of(tmp_path)
    assert read.Histograms("parameters/x")[0].histogram_value.num == 2
    value = read.Histograms("parameters/y")[0].histogram_value
    assert sum(value.bucket) == 3
    assert value.bucket_limit[0] <= 1 <= value.bucket_limit[-1]


def test_a_session_that_goes_on_drops_later_points(tmp_path):
    first = TensorBoardWriter(tmp_path)
    for step in range(1, 6):
        first.scalars(step, {"train/loss": float(step)})
    first.close()
    second = TensorBoardWriter(tmp_path, first_step=4)
    second.scalars(4, {"train/loss": 40.0})
    second.close()
    events = plugin_event_accumulator.EventAccumulator(str(tmp_path)).Reload().Tensors("train/loss")
    assert [event.tensor_proto.float_val[0] for event in events] == [1, 2, 3, 40]


def test_a_card_explains_every_chart(board):
    """Each chart of a run has one row, with what its own description says; TensorBoard shows the rows as a list."""
    from tensorboard.plugin_util import markdown_to_safe_html

    (event,) = board.Tensors("charts/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    rows = dict(row.removeprefix("- `").split("`: ") for row in text.split("\n"))
    for tag in scalars_of(board):
        fitting = [row for name, row in rows.items() if re.fullmatch(re.sub("<[a-z]+>", "[^/]+", name), tag)]
        assert fitting[0] == meaning(tag) != ""
    html = markdown_to_safe_html(text)
    assert html.count("<li>") == len(rows)
    assert "<code>gates/&lt;layer&gt;/&lt;gate&gt;_mean</code>" in html
