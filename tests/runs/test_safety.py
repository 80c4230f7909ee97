"""Run folders get shared: opening a hostile one never runs its code, never writes outside, never exhausts the machine."""

import ast
import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from messages import assert_says, error_line, user_error
from safetensors.torch import load_file, save_file
from torture import SMALL, only_run, rnnscope, said, same, write_text

import rnnscope as rnnscope_package
from rnnscope.config.validate import check_config, from_plain
from rnnscope.errors import UserError
from rnnscope.format import printable
from rnnscope.runs.checkpoints import load_checkpoint
from rnnscope.runs.folder import RunFolder, create_run_folder
from rnnscope.runs.load import load
from rnnscope.runs.record import Record
from rnnscope.runs.segments import with_value
from rnnscope.runs.snapshot import build_model, read_config, read_vocabulary


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    write_text(folder / "text.txt", 1500)
    words = [*SMALL, f"text={folder / 'text.txt'}", "trainer.max_steps=6", "trainer.checkpoint_every=3"]
    assert rnnscope(folder, "train", *words) == 0, said(folder)
    return only_run(folder)


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A run folder to be made hostile."""
    return Path(shutil.copytree(original, tmp_path / "runs" / "hostile" / "run"))


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the run's config, in config.yaml."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    change(config)
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def refused(tmp_path: Path, run: Path, *commands: str, parts: tuple[object, ...] = ()) -> None:
    """Let each command open the run, and see that it is refused in one line that has each of the parts."""
    for command in commands or ("resume", "reproduce", "sample", "evaluate"):
        before = len(said(tmp_path)) if (tmp_path / "said.txt").exists() else 0
        assert rnnscope(tmp_path, command, f"run={run}") == 1
        message = error_line(said(tmp_path)[before:])
        assert_says(message, *parts)


@pytest.mark.parametrize("section", ["model", "optimizer", "schedule", "trainer", "dataset", "monitor"])
@pytest.mark.parametrize("target", ["os.system", "builtins.eval"])
def test_a_target_is_refused_by_name_and_never_called(run: Path, section: str, target: str) -> None:
    edit(run, lambda config: config[section].update(_target_=target))
    with user_error("config.yaml", f"{section}._target_"):
        from_plain(read_config(RunFolder(run)), "config.yaml")


def test_every_command_refuses_a_target(run: Path, tmp_path: Path) -> None:
    edit(run, lambda config: config["optimizer"].update(_target_="os.system"))  # which sampling has no use for
    refused(tmp_path, run, parts=("config.yaml", "optimizer._target_"))


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("_target_", "os.system", "_target_"),
        ("schedule.rates", {"_target_": "os.system"}, "schedule.rates._target_"),
        ("dataset.corpus.include", [{"_target_": "os.system"}], "dataset.corpus.include.0._target_"),
    ],
)
def test_a_target_is_refused_wherever_it_stands(run: Path, place: str, value: Any, named: str) -> None:
    config = with_value(read_config(RunFolder(run)), place, value)
    (run / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with user_error("config.yaml", named):
        load(str(run))


RUNNING = {"eval", "exec", "compile", "__import__", "instantiate", "get_class", "get_method", "get_object"}
UNPICKLING = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


@pytest.mark.parametrize("path", sorted(Path(rnnscope_package.__file__).parent.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_in_the_source_builds_what_data_names(path: Path) -> None:
    """No function that runs or builds what a text names is called; torch and YAML are read in their safe ways only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            assert not UNPICKLING & {name.partition(".")[0] for name in names}, ast.unparse(node)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if path.name == "extensions.py" and called == "instantiate":
            continue  # what a command line names: test_extensions.py shows that no run folder gets there
        assert called not in RUNNING, ast.unparse(node)
        assert called.rpartition(".")[2] not in RUNNING - {"compile", "eval"}, ast.unparse(node)  # re's and a model's
        if called == "torch.load":
            assert words.get("weights_only") == "True", ast.unparse(node)
        if called in ("yaml.load", "yaml.parse"):
            assert words.get("Loader") == "yaml.CSafeLoader", ast.unparse(node)


def test_resolvers_stay_text(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    texts = ["${oc.env:SECRET}", "\\${oc.env:SECRET}", "${oc.decode:'1'}", "???", "\0" + "0"]
    for text in texts:
        config = read_config(RunFolder(run))
        config["monitor"]["sample_prompt"] = text
        assert from_plain(config, "config.yaml").monitor.sample_prompt == text
    config["seed"] = "${oc.env:SECRET}"
    with pytest.raises(UserError):
        from_plain(config, "config.yaml")


def test_yaml_that_builds_objects_or_unfolds_without_end_is_refused(run: Path) -> None:
    bombs = {
        "object": "model: !!python/object/apply:os.system ['touch /tmp/never']",
        "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nmodel: [*b, *b]",
        "depth": "model: " + "[" * 100_000,
        "size": "model: {}\n#" + "x" * 2_000_000,
        "list": "- model",
        "bytes": "model: \x01",
    }
    for name, text in bombs.items():
        (run / "config.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(UserError):
            print(name, read_config(RunFolder(run)))


def open_config(run: Path) -> None:
    """Do with config.yaml what every training does before it reads a text."""
    config = from_plain(read_config(RunFolder(run)), "config.yaml")
    check_config(config)
    build_model(config.model, 10)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.hidden_size", 10**9),
        ("model.num_layers", 10**9),
        ("model.embedding_size", 10**9),
        ("model.hidden_size", -5),
        ("dataset.batch_size", 10**9),
        ("dataset.sequence_length", 10**12),
        ("trainer.threads", 10**9),
        ("trainer.max_steps", "many"),
        ("monitor.sample_length", 10**12),
        ("monitor.sample_temperatures", [1.0] * 10_000),
        ("seed", 10**30),
        ("seed", -1),
        ("dataset.corpus", 5),
        ("schedule.rates", {0: 1.0}),
        ("optimizer.name", "os.system"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(run: Path, key: str, value: Any) -> None:
    group, _, name = key.rpartition(".")
    edit(run, lambda config: (config[group] if group else config).update({name: value}))
    with pytest.raises(UserError, match=name):  # some as a part of another key or of a product
        open_config(run)


def test_sizes_are_limited_together(run: Path, tmp_path: Path) -> None:
    edit(run, lambda config: config["dataset"].update(batch_size=100_000, sequence_length=100_000))
    refused(tmp_path, run, "reproduce", parts=("dataset.batch_size", "dataset.sequence_length"))


def test_weights_are_not_built_to_a_hostile_size(run: Path) -> None:
    edit(run, lambda config: config["model"].update(embedding_size=10**9))
    with pytest.raises(UserError, match=r"embedding_size\W+1000000000"):
        load(str(run))


def test_paths_do_not_escape(run: Path, tmp_path: Path) -> None:
    for name in ("../../../evil", "/tmp/evil", "..", "a/b"):
        with user_error("name", name, "run folder"):
            create_run_folder(name)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**record, "name": "../../../evil"}), encoding="utf-8")
    assert rnnscope(tmp_path, "reproduce", f"run={run}") == 1
    assert_says(error_line(said(tmp_path)), "name", "../../../evil", "run folder")
    for path in ("../../evil.txt", "/tmp/evil.txt", "a/../../b", "~/.bashrc"):
        edit(
            run,
            lambda config, path=path: config["dataset"]["corpus"].update(path=path, url="https://example.com/x", sha256="0"),
        )
        refused(tmp_path, run, "evaluate", "resume", parts=(path, "cache"))
    edit(run, lambda config: config["dataset"]["corpus"].update(path="x", url="file:///etc/passwd", sha256="0"))
    refused(tmp_path, run, "evaluate", parts=("file:///etc/passwd", "http"))


@pytest.mark.parametrize("name", ["metrics.csv", "samples.jsonl", "train.log", "run.lock", "checkpoints"])
def test_files_that_are_links_are_not_written_through(run: Path, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    if (run / name).is_dir():
        shutil.move(run / name, victim)
    else:
        victim.write_text("precious", encoding="utf-8")
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim)
    refused(tmp_path, run, "resume", parts=(name, "link"))
    assert victim.is_dir() or victim.read_text(encoding="utf-8") == "precious"


class Attack:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize(
    "write", [lambda attack, path: torch.save(attack, path), lambda attack, path: path.write_bytes(pickle.dumps(attack))]
)
def test_a_pickle_that_runs_code_is_refused(run: Path, tmp_path: Path, write: Callable[[Any, Path], None]) -> None:
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    write({"state_dict": Attack(tmp_path / "owned")}, run / "checkpoints" / "last.ckpt")
    with user_error("last.ckpt", "checkpoint"):
        load(str(run), "last")
    assert rnnscope(tmp_path, "resume", f"run={run}") == 1
    assert not (tmp_path / "owned").exists()


def test_damaged_checkpoints_are_refused_or_right(run: Path) -> None:
    path = run / "checkpoints" / "last.ckpt"
    contents, draw, whole = path.read_bytes(), random.Random(3), torch.load(path, weights_only=True)
    for trial in range(300):
        damaged = bytearray(contents)
        if trial % 3 == 0:
            damaged = damaged[: draw.randrange(len(contents))]
        else:
            damaged[draw.randrange(len(contents))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            loaded = load_checkpoint(path)
        except UserError:
            continue
        assert same(loaded, whole)  # what was changed are bytes that say nothing, such as the padding between tensors


def test_checkpoints_with_flipped_bits_are_refused_or_trained_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checksum tells, neither torch's nor ours: what is left of a checkpoint is resumed, or refused in one line."""
    from rnnscope.pipeline.resume import resume_run

    monkeypatch.setattr("rnnscope.pipeline.session.run_trainer", lambda *arguments: None)
    checkpoints, draw, outcomes = run / "checkpoints", random.Random(5), []
    kept = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    whole = zipfile.ZipFile(io.BytesIO((checkpoints / "last.ckpt").read_bytes()))
    parts = {part.filename: whole.read(part) for part in whole.infolist()}
    (name,) = (name for name in parts if name.endswith("data.pkl"))
    for _ in range(20):
        for path in checkpoints.iterdir():
            path.unlink()
        for path, contents in kept.items():
            path.write_bytes(contents)
        damaged = bytearray(parts[name])
        place = draw.randrange(len(damaged))
        damaged[place] = draw.choice([damaged[place] ^ 1 << draw.randrange(8), draw.randrange(256)])
        with zipfile.ZipFile(checkpoints / "last.ckpt", "w") as file:
            for part, contents in {**parts, name: bytes(damaged)}.items():
                file.writestr(zipfile.ZipInfo(part), contents)
        try:
            resume_run(RunFolder(run), {"trainer.max_steps": 8})
            outcomes.append("opened")
        except UserError as error:
            outcomes.append(str(error))
    assert not [outcome for outcome in outcomes if "\n" in outcome]
    assert 2 < outcomes.count("opened") < 18


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "config.yaml"])
def test_damaged_exports_are_refused_or_load(run: Path, name: str) -> None:
    contents, draw, refusals = (run / name).read_bytes(), random.Random(7), 0
    for trial in range(150):
        damaged = bytearray(contents)
        if trial % 2:
            damaged = damaged[: draw.randrange(len(contents))]
        else:
            damaged[draw.randrange(min(len(contents), 2000))] = draw.randrange(256)
        (run / name).write_bytes(damaged)
        try:
            load(str(run))
        except UserError:
            refusals += 1
    assert refusals > 50


def odd_average() -> dict[str, Any]:
    """An average of weights, as a checkpoint has it, that belongs to a different model."""
    return {"kind": "ema", "begun": True, "steps": 3, "losses": [], "weights": {"head.weight": torch.zeros(2)}}


def test_a_checkpoint_of_nonsense_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for change in (
        {"task": {"step": 3}},
        {"task": 5},
        *({"task": {**saved["task"], key: "1"}} for key in ("step", "epoch", "tokens_seen", "carried", "tally", "schedule")),
        {"task": {**saved["task"], "carried": [1]}},
        {"task": {**saved["task"], "carried": [(torch.zeros(1, 4, 15), torch.zeros(1, 4, 15))]}},
        {"task": {**saved["task"], "tally": [torch.zeros(2), 1, 1, None]}},
        {"task": {**saved["task"], "optimizer": {**saved["task"]["optimizer"], "state": {0: {"exp_avg": torch.zeros(3)}}}}},
        {"task": {**saved["task"], "optimizer": {**saved["task"]["optimizer"], "state": {99: {}}}}},
        *({"task": {**saved["task"], "average": average}} for average in (5, {"kind": "ema"}, odd_average())),
        {"monitors": {**saved["monitors"], "Throughput": {"seconds": float("nan")}}},
        {"monitors": {**saved["monitors"], "Throughput": {"seconds": float("inf")}}},
        {"monitors": {**saved["monitors"], "Throughput": "an hour"}},
        {"monitors": {**saved["monitors"], "Validation": {"best": "low", "best_step": 0, "bad_looks": 0}}},
        {"monitors": {**saved["monitors"], "Recorder": {"latest": {"train/loss": torch.zeros(2)}}}},
        {"format": 10**5000},
        {"ended": "yes"},
        {"state_dict": {"head.weight": torch.zeros(2)}},
        {"task": {**saved["task"], "optimizer": {}}},
        {"task": {**saved["task"], "position": {"epoch": 0, "window": 1}}},
        {"offsets": {"metrics": -5, "timings": 0, "samples": 0}},
        {"offsets": {"metrics": 10**12, "timings": 0, "samples": 0}},
        {"monitors": []},
        {"names": ["../../evil"], "ended": False},
        {"random": {}},
        {"random": {**saved["random"], "python": [3, [-1] * 625, None]}},
    ):
        for path in (run / "checkpoints").iterdir():
            path.unlink()
        torch.save({**saved, "ended": False, **change}, run / "checkpoints" / "last.ckpt")
        assert rnnscope(tmp_path, "resume", f"run={run}", "trainer.max_steps=9") == 1, change
        assert said(tmp_path).splitlines()[-1].startswith("rnnscope: error: "), said(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "parts"),
    [
        ("config.yaml", {"model": {"cell": "lstm", "attention": 4}}, ("model", "attention", "bias", "cell")),
        ("vocabulary.json", {"version": 2}, ("version",)),
        ("run.json", {"schema": 2}, ("schema", 2, 1, "newer", "update")),
        ("run.json", {"schema": 0}, ("schema", 0, 1, "version")),
    ],
)
def test_a_folder_of_another_version_says_in_one_line_why_not(
    run: Path, tmp_path: Path, name: str, change: dict[str, Any], parts: tuple[object, ...]
) -> None:
    values = yaml.safe_load((run / name).read_text(encoding="utf-8"))
    (run / name).write_text(json.dumps({**values, **change}), encoding="utf-8")
    refused(tmp_path, run, "resume" if name == "run.json" else "sample", parts=(name, *parts))


@pytest.mark.parametrize(("format", "remedy"), [(2, ("newer", "update")), (0, ("version",))])
def test_a_checkpoint_of_another_version_says_in_one_line_why_not(
    run: Path, tmp_path: Path, format: int, remedy: tuple[str, ...]
) -> None:
    path = run / "checkpoints" / "last.ckpt"
    torch.save({**torch.load(path, weights_only=True), "format": format}, path)
    assert rnnscope(tmp_path, "resume", f"run={run}", "trainer.max_steps=9") == 1
    assert_says(error_line(said(tmp_path)), "last.ckpt", "format", format, 1, *remedy)
    assert load(str(run), "last").sample("", 3, seed=1)  # the weights are where they were


def test_a_config_of_100_megabytes_is_not_opened(run: Path, tmp_path: Path) -> None:
    size = 100_000_000
    os.truncate(run / "config.yaml", size)
    refused(tmp_path, run, parts=(run / "config.yaml", size, "bytes", 1_000_000))


def test_what_is_no_vocabulary_is_named(run: Path) -> None:
    (run / "vocabulary.json").write_text("{}")
    with user_error(run / "vocabulary.json", "vocabulary"):
        read_vocabulary(RunFolder(run))


def test_a_vocabulary_without_end_is_refused(run: Path) -> None:
    vocabulary = json.loads((run / "vocabulary.json").read_text(encoding="utf-8"))
    vocabulary["tokens"] = [chr(0x10000 + index % 50_000) for index in range(1_000_001)]
    (run / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    with pytest.raises(UserError):
        read_vocabulary(RunFolder(run))
    with (run / "vocabulary.json").open("wb") as file:
        file.truncate(10**10)
    with user_error(run / "vocabulary.json", 10**10, "bytes"):
        read_vocabulary(RunFolder(run))


def test_weights_and_vocabulary_of_different_runs_are_refused(run: Path) -> None:
    vocabulary = json.loads((run / "vocabulary.json").read_text(encoding="utf-8"))
    vocabulary["tokens"][3:5] = vocabulary["tokens"][4:2:-1]  # the same size, in the order of another text
    (run / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    with user_error(run / "model.safetensors", "vocabulary.json", "restore"):
        load(str(run))


def test_a_record_of_nonsense_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for change in (
        {"schema": 99},
        {"progress": {"step": "many"}},
        {"progress": 3},
        {"segments": [3]},
        {"segments": [{"from_step": 0, "changed": {"model.hidden_size": 5}}]},
        {"resolved": "cpu"},
        {"data": {"fingerprint": "x"}},
    ):
        (run / "run.json").write_text(json.dumps({**record, **change}), encoding="utf-8")
        refused(tmp_path, run, "reproduce")
    (run / "run.json").write_text("[" * 100_000, encoding="utf-8")
    refused(tmp_path, run, "resume", "reproduce")
    with (run / "run.json").open("wb") as file:
        file.truncate(10**9)
    with user_error(run / "run.json", f"{10**9:,}", "bytes"):
        Record.read(run / "run.json")


def test_text_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2J\x07\r\x9b0m\x7fb\n\tc") == "a\u241b[2J\u2407\u240d\ufffd0m\u2421b\n\tc"


CONTROL = "\x1b[2J\x1b]0;owned\x07\r\x9b1m"


def test_a_text_full_of_controls_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(f"<script>{CONTROL}" * 300, encoding="utf-8")
    words = [*SMALL, f"text={tmp_path / 'text.txt'}", "dataset.newline=keep", "trainer.max_steps=2"]
    assert rnnscope(tmp_path, "train", *words) == 0, said(tmp_path)
    run = only_run(tmp_path)
    written = "".join(json.loads(line)["text"] for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines())
    assert "\x1b" in written
    for shown in (said(tmp_path), (run / "train.log").read_text(encoding="utf-8")):
        assert "sample at step 2" in shown
        assert not set(CONTROL.replace("[2J", "")) & set(shown) - set("owned01;]m")
    assert rnnscope(tmp_path, "reproduce", f"run={run}") == 0
    assert "\x1b" not in said(tmp_path)


def test_names_in_somebodys_config_are_shown_and_not_obeyed(run: Path, tmp_path: Path) -> None:
    edit(run, lambda config: config["dataset"].update(name=CONTROL))
    assert rnnscope(tmp_path, "evaluate", f"run={run}") == 0, said(tmp_path)
    assert rnnscope(tmp_path, "train", f"from={run}", "dataset.name=mine", "name=mine") == 0, said(tmp_path)
    assert rnnscope(tmp_path, "sample", f"run={run}", "length=3") == 0
    assert "val split of \u241b[2J\u241b]0;owned\u2407\u240d\ufffd1m: " in said(tmp_path)
    assert "dataset.name: \u241b[2J" in said(tmp_path)
    assert not {"\x1b", "\x07", "\x9b"} & set(said(tmp_path))


def test_generated_text_cannot_steer_the_terminal_that_it_is_sampled_on(run: Path, tmp_path: Path) -> None:
    vocabulary = json.loads((run / "vocabulary.json").read_text(encoding="utf-8"))
    vocabulary["tokens"][3:8] = list("\x1b\x07\x9b\r\x08")
    (run / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    save_file(load_file(run / "model.safetensors"), run / "model.safetensors")  # says no longer which vocabulary it belongs to
    words = [sys.executable, "-m", "rnnscope", "sample", f"run={run}", "length=500", "seed=1", "temperature=2"]
    piped = subprocess.run(words, capture_output=True, check=True).stdout
    terminal, end = os.openpty()
    with subprocess.Popen(words, stdout=end, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(end)
        shown = read_all(terminal)
    assert process.returncode == 0
    assert piped.count(b"\x1b") > 10  # a file gets what was generated
    assert shown.count("\u241b".encode()) == piped.count(b"\x1b")
    assert not {0x1B, 0x07, 0x08} & set(shown)


def read_all(terminal: int) -> bytes:
    """Return what is written on a terminal until the last writer is gone."""
    found = b""
    while True:
        try:
            piece = os.read(terminal, 10_000)
        except OSError:  # so Linux says it
            piece = b""
        if not piece:
            os.close(terminal)
            return found
        found += piece


EXPORT = """
import sys, rnnscope
run = rnnscope.load(sys.argv[1])
print(repr(run.sample("", length=20, seed=1)), run.score("aab abc").tokens)
assert not [name for name in sys.modules if name.split(".")[0] in ("pytorch_lightning", "tensorboard", "hydra", "omegaconf")]
"""


def test_three_files_are_the_export(run: Path, original: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("config.yaml", "vocabulary.json", "model.safetensors"):
        shutil.copy(original / name, alone)
    printed = [
        subprocess.run([sys.executable, "-c", EXPORT, str(folder)], capture_output=True, text=True, check=True).stdout
        for folder in (alone, original)
    ]
    assert printed[0] == printed[1] != ""
