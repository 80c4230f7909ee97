"""The ready sweeps of conf/sweep: each is one command that does what its comment says; what TensorBoard lists of a sweep."""

from pathlib import Path

import pytest
import yaml
from conftest import TINY
from sweep_tools import folder_of, manifest, records, statuses, sweep
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from rnnscope.cli import main
from rnnscope.paths import conf_folder

SMALL = [word for word in TINY if not word.startswith("model.")]  # sizes are what some of them sweep over
FEWER = {  # jobs, layers, letters
    "ablation": ["seed=1", "model.hidden_size=16"],
    "bptt": ["seed=1", "model.hidden_size=16"],
    "trump_dl4j": ["model.hidden_size=16"],
    "init": ["model.num_layers=2", "model.hidden_size=16"],
    "width_x_depth": ["model.num_layers=1,2"],
    "vanishing": ["dataset.corpus.copy_lag=5", "dataset.corpus.copies=200"],
}
READY = {
    "ablation": ("grid", ["residual-true", "dropout-0.2_locked_dropout-true", "average-ema_ema_decay-0.99"]),
    "bptt": ("grid", ["sequence_length-100", "sequence_length-50"]),
    "cell_types": ("grid", ["model-gru_hidden_size-299", "model-lstm_hidden_size-256", "model-rnn_hidden_size-515"]),
    "dropout": ("grid", [f"dropout-{share}" for share in ("0", "0.2", "0.4", "0.6")]),
    "init": ("grid", ["init_scale-0.02", "init_scale-0.05"]),
    "levels": ("grid", ["level-byte", "level-char"]),
    "learning_rates": ("grid", ["lr-0.01", "lr-0.05", "lr-0.1"]),
    "scaling": ("grid", ["hidden_size-64_lr-0.0056_val_every-2000", "hidden_size-1024_lr-0.0014_val_every-30"]),
    "tiny_shakespeare_search": ("optuna", []),
    "trump_dl4j": ("grid", []),
    "trump_two_ways": ("grid", []),
    "vanishing": ("grid", ["model-rnn", "model-gru", "model-lstm_forget_bias-1", "model-lstm_forget_bias-5"]),
    "width_x_depth": ("grid", [f"hidden_size-{width}_num_layers-{depth}" for width in (128, 256, 64) for depth in (1, 2)]),
}


def test_all_of_them_are_tried_here():
    assert {path.stem for path in (conf_folder() / "sweep").glob("*.yaml")} == READY.keys()


@pytest.mark.parametrize("name", READY)
def test_a_ready_sweep(story: Path, outputs: Path, name: str):
    kind, jobs = READY[name]
    swept = str(yaml.safe_load((conf_folder() / "sweep" / f"{name}.yaml").read_text(encoding="utf-8"))["hydra"])
    short = [*SMALL, "trainer.max_steps=3", "trainer.val_every=3"]
    words = [word for word in short if word.partition("=")[0] not in swept]  # which the jobs set
    words += FEWER.get(name, [])
    words += [] if name == "vanishing" else ["dataset=text_files", f"text={story}"]
    words += ["hydra.sweeper.n_trials=2"] if kind == "optuna" else []
    assert main(["train", f"sweep={name}", *words]) == 0  # without -m: it is a sweep by itself
    folder = folder_of(outputs)
    found = records(folder)
    assert (folder.name, manifest(folder)["kind"]) == (name, kind)
    assert set(found) >= set(jobs)
    assert set(statuses(folder).values()) == {"finished"}
    if name == "learning_rates":
        assert {values["config"]["schedule.name"] for values in found.values()} == {"constant", "step_map"}
    if name == "cell_types":
        sizes = [values["parameters"] for values in found.values()]
        assert max(sizes) <= 1.04 * min(sizes)  # 1.01 with the vocabulary that the sizes are made for


def hparams_of(run: Path) -> tuple[dict[str, object], set[str], list[int]]:
    """Return the values, metrics and end statuses of a run's HParams session, from its event file."""
    values, metrics, ends = {}, set(), []
    (path,) = run.glob("events.out.*")
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name != "hparams":
                continue
            data = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
            kind = data.WhichOneof("data")
            if kind == "session_start_info":
                values = {
                    key: getattr(found, found.WhichOneof("kind")) for key, found in data.session_start_info.hparams.items()
                }
            elif kind == "session_end_info":
                ends.append(data.session_end_info.status)
            elif kind == "experiment":
                metrics = {info.name.tag for info in data.experiment.metric_infos}
    return values, metrics, ends


def test_the_hparams_tab_over_a_sweep(story: Path, outputs: Path):
    words = ["optimizer=sgd", "optimizer.lr=0.1,1e38", "trainer.clip_norm=null", "model.forget_bias=0.0,1.0"]
    assert sweep(story, *words) == 1
    found = {path.parent.name: hparams_of(path.parent) for path in folder_of(outputs).glob("*/run.json")}
    assert len({frozenset(values) for values, _, _ in found.values()}) == 1  # or TensorBoard would lose columns
    for name, (values, metrics, ends) in found.items():
        assert metrics == {"best/loss", "best/bits_per_character"}
        assert f"lr-{values['optimizer.lr']:g}".replace("e+", "e") in name
        assert f"forget_bias-{values['model.forget_bias']:g}" in name  # a key that is swept is listed too
        status = "STATUS_SUCCESS" if values["optimizer.lr"] < 1 else "STATUS_FAILURE"
        assert ends == [api_pb2.Status.Value(status)]
