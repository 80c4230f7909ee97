"""conf/: everything in it composes, has a type and says what it means; help and completion offer it and nothing else."""

import re
from dataclasses import asdict
from functools import reduce
from pathlib import Path

import pytest
import yaml
from messages import assert_says, error_line

from rnnscope.config import schema
from rnnscope.config.compose import compose_train
from rnnscope.config.hydra_errors import keys_of
from rnnscope.config.validate import OPTIMIZERS, SCHEDULES, from_plain
from rnnscope.paths import conf_folder

CONF = conf_folder()
GROUPS = [*schema.GROUPS, "experiment"]
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
FILES = sorted(path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml"))
OF_GROUPS = {"callbacks", "logger"}  # keys that only a choice fills: they stand in the defaults of a file
NOT_OURS = ("defaults", "hydra")  # blocks of Hydra's own
GIVEN = {"dataset=text_files": ["dataset.corpus.path=x.txt"]}  # what a choice cannot do without


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_fits_its_schema(choice):
    config = compose_train([choice, *GIVEN.get(choice, [])])
    assert from_plain(asdict(config), "conf") == config
    assert type(config.optimizer) is OPTIMIZERS[config.optimizer.name].config
    assert type(config.schedule) is SCHEDULES[config.schedule.name].config


def keys_in(path: Path, group: str = "") -> set[str]:
    """Return the dotted keys that a file sets, sections included."""

    def flat(values: dict, prefix: str) -> set[str]:
        found = set()
        for key, value in values.items():
            found.add(f"{prefix}{key}")
            if isinstance(value, dict) and f"{prefix}{key}" != "schedule.rates":
                found |= flat(value, f"{prefix}{key}.")
        return found

    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return flat({key: value for key, value in values.items() if key not in NOT_OURS}, group)


def test_every_key_of_training_stands_in_conf():
    found = keys_in(CONF / "train.yaml")
    for group in schema.GROUPS:
        found |= {group} | reduce(set.union, (keys_in(path, f"{group}.") for path in (CONF / group).glob("*.yaml")))
    assert found == set(keys_of(schema.TrainCommand)) - OF_GROUPS


@pytest.mark.parametrize("command", [name for name in schema.COMMANDS if name != "train"])
def test_every_key_of_a_command_stands_in_conf(command):
    assert keys_in(CONF / f"{command}.yaml") | of_model(command) == set(keys_of(schema.COMMANDS[command])) - OF_GROUPS


def of_model(command: str) -> set[str]:
    """Return the keys that the command takes from the group `model`, whose files explain them."""
    return {key for key in keys_of(schema.COMMANDS[command]) if key.startswith("model.")}


def explained(text: str, group: str = "") -> set[str]:
    """Return the dotted keys of a yaml text that have a comment on their line or right above it."""
    found, above, sections = set(), False, {}
    for line in text.splitlines():
        if match := re.match(r"( *)\"?([\w.]+)\"?:(.*)", line):
            indent = len(match[1])
            sections = {deep: name for deep, name in sections.items() if deep < indent} | {indent: match[2]}
            if above or "#" in match[3]:
                found.add(group + ".".join(sections.values()))
        above = line.strip().startswith("#")
    return found


def leaves(keys: set[str]) -> set[str]:
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}


def test_every_key_is_explained_where_it_has_its_default():
    found = explained((CONF / "train.yaml").read_text(encoding="utf-8"))
    for group in schema.GROUPS:
        for path in (CONF / group).glob("*.yaml"):
            found |= explained(path.read_text(encoding="utf-8"), f"{group}.")
    assert leaves(set(keys_of(schema.TrainConfig))) - found == set()


@pytest.mark.parametrize("command", [name for name in schema.COMMANDS if name != "train"])
def test_every_key_of_a_command_is_explained(command):
    text = (CONF / f"{command}.yaml").read_text(encoding="utf-8")
    assert leaves(set(keys_of(schema.COMMANDS[command]))) - explained(text) - of_model(command) - OF_GROUPS == set()


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_what_it_is(name):
    assert (CONF / name).read_text(encoding="utf-8").startswith("# ")


def test_this_test_sees_missing_comments():
    text = "# file\n\ndefaults: [x]\na: 1  # said\n\nb: 2\n# above\nc: 3\nd:\n  e: 5\n  f: 6 # said\ng: 7\n"
    assert explained(text) == {"a", "c", "d.f"}


def test_a_map_given_replaces_the_one_in_conf():
    config = compose_train(["schedule=step_map", "schedule.rates={0: 1.0, 7: 0.5}"])
    assert config.schedule.rates == {0: 1.0, 7: 0.5}


def test_help_offers_every_choice_and_no_schema(capsys):
    from rnnscope.cli import main

    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for group in GROUPS:
        (line,) = re.findall(rf"^{group}: (.*)$", text, re.MULTILINE)
        assert line.split(", ") == sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert "schema" not in text


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("rnnscope sam", ["sample"]),
        ("rnnscope re", ["resume", "reproduce"]),
        ("rnnscope train model=", ["model=gru", "model=lstm", "model=mogrifier_lstm", "model=peephole_lstm", "model=rnn"]),
        ("rnnscope train optimizer=ada", ["optimizer=adagrad", "optimizer=adam", "optimizer=adamw"]),
        ("rnnscope train trainer.max_s", ["trainer.max_steps="]),
        ("rnnscope sample temp", ["temperature="]),
        ("rnnscope train te", ["text="]),
        ("rnnscope train i", ["init_from="]),
        ("rnnscope train fr", ["from="]),
        ("rnnscope train monitor.sample_p", ["monitor.sample_prompt="]),
        ("rnnscope train text=my(book).txt from=a trainer.max_s", ["trainer.max_steps="]),
        ("rnnscope train hy", []),
        ("rnnscope sample t", ["temperature=", "top_k=", "top_p="]),
        ("rnnscope sample m", ["minimum_length="]),
        (
            "rnnscope evaluate ",
            [
                "checkpoint=",
                "data=",
                "dynamic=",
                "json=",
                "length=",
                "lines=",
                "ngram=",
                "plugins=",
                "precision=",
                "run=",
                "samples=",
                "split=",
                "temperatures=",
                "text=",
                "tuned_temperature=",
                "window=",
                "with=",
            ],
        ),
        ("rnnscope compare w", ["with="]),
        ("rnnscope compare o", ["output="]),
        ("rnnscope resume ", ["data=", "monitor.", "notify=", "optimizer.", "run=", "schedule.", "text=", "trainer."]),
        ("rnnscope resume optimizer.l", ["optimizer.lr="]),
        ("rnnscope runs mark ta", ["tags="]),
        ("rnnscope runs tr", ["trash"]),
        ("rnnscope sample prompt='def main(' to", ["top_k=", "top_p="]),
        ('rnnscope compare filter="a b" so', ["sort="]),
        ("rnnscope sample prompt='def ma", []),
        ("rnnscope nosuch x", []),
    ],
)
def test_completion(typed, offered, monkeypatch, capsys):
    from rnnscope.cli import main

    monkeypatch.setenv("COMP_LINE", typed)
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.split() == offered


def test_a_key_of_a_deeper_section_is_suggested(capsys):
    from rnnscope.cli import main

    assert main(["train", "dataset.shuffle=true"]) == 1
    assert_says(error_line(capsys.readouterr().err), "dataset.shuffle", "'dataset.corpus.shuffle'")


@pytest.mark.parametrize("words", [[], ["install"], ["query=tcsh"], ["help"]])
def test_completion_of_no_shell(words, capsys):
    from rnnscope.cli import main

    assert main(["-sc", *words]) == 1
    parts = ("-sc", "install=", "uninstall=", "query=", "bash", "zsh", "fish")
    assert_says(error_line(capsys.readouterr().err), *parts)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_installs(shell, capsys):
    from rnnscope.cli import main

    assert main(["-sc", f"install={shell}"]) == 0
    assert "-sc query=" in capsys.readouterr().out
