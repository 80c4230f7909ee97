"""The run that comes with the package can be used at once, from any folder."""

import rnnscope
from rnnscope.cli import main
from rnnscope.paths import example_run


def test_the_example_writes_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    assert main(["sample", "run=examples/shakespeare", "length=200", "temperature=0.5", "seed=1"]) == 0
    text = capsys.readouterr().out
    assert len(text) == 201
    run = rnnscope.load("examples/shakespeare")
    assert run.score("KING HENRY:\nWhat is the matter, my good lord?\n").bits_per_character < 2.5
    assert not list(tmp_path.iterdir()), "using it leaves nothing"


def test_the_example_is_small_and_names_no_place():
    folder = example_run("examples/shakespeare")
    assert folder is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
    assert "path: tiny_shakespeare.txt" in (folder / "config.yaml").read_text(encoding="utf-8")
    assert example_run("examples/none") is example_run("../examples/shakespeare") is None
