"""What stands beside a run's score: an n-gram, a compressor, and what its texts copy and which rules they keep."""

import json
import lzma
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY
from messages import assert_says, error_line, line_with

import rnnscope
from rnnscope.analysis.compressors import xz_nats
from rnnscope.analysis.generated import Training, samples
from rnnscope.analysis.ngram import NGram
from rnnscope.analysis.suffix_array import SuffixArray
from rnnscope.cli import main
from rnnscope.data.config import DatasetConfig
from rnnscope.data.vocabulary import BYTES, Vocabulary, token_counts


@pytest.fixture
def trained(tiny_run, monkeypatch) -> str:
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tiny_run.run.path.parents[2]))
    return str(tiny_run.run.path)


def test_xz_is_what_a_file_of_both_takes_more():
    draw = np.random.default_rng(0)
    training, text = draw.integers(0, 256, (2, 3000)).astype(np.uint8)
    assert xz_nats(text, training) == pytest.approx(math.log(256), rel=0.02)  # random bytes
    assert xz_nats(training, training) < 0.2  # a repetition
    both, before = (len(lzma.compress(part.tobytes(), preset=9)) for part in (np.append(training, text[1:]), training))
    others = np.count_nonzero(text[1:] != 7)
    assert xz_nats(text, training, 7) * others == pytest.approx(xz_nats(text, training) * 2999)  # the same bytes
    assert xz_nats(text, training) * 2999 == pytest.approx((both - before) * 8 * math.log(2))


def test_evaluate_has_an_n_gram_and_xz_beside_the_run(trained, story, capsys):
    text = story.read_text(encoding="utf-8")
    run = rnnscope.load(trained)
    splits = json.loads((Path(trained) / "run.json").read_text(encoding="utf-8"))["data"]["splits"]
    begin, count = (splits[split]["characters"] for split in ("train", "val"))
    first, second = (run.vocabulary.encode(part) for part in (text[:begin], text[begin : begin + count]))
    assert main(["evaluate", f"run={trained}", "ngram=4"]) == 0
    found = {name: float(nats) for name, nats in re.findall(r"^(.*\S) {2,}(\d+\.\d{4}) ", capsys.readouterr().out, re.M)}
    stream = np.insert(first, 0, run.vocabulary.start)
    wanted = NGram(SuffixArray(stream), len(run.vocabulary), 4).losses(np.insert(second, 0, run.vocabulary.start))
    assert found["4-gram of the training split"] == pytest.approx(wanted[-1], abs=1e-3)
    assert found["xz -9 after the training split"] > 0


def test_evaluate_says_what_the_samples_are_like(trained, capsys):
    assert main(["evaluate", f"run={trained}", "samples=2", "length=80", "ngram=4", "temperatures=[1.0]"]) == 0
    out = capsys.readouterr().out
    assert line_with(out, "samples at 1", "real text").split() == ["samples", "at", "1", "4-gram", "real", "text"]
    shares = [float(share) for share in re.findall(r"([\d.]+) %", line_with(out, "known words"))]
    assert shares[0] < min(shares[1:])  # of an untrained network; of an n-gram, and of real text that is cut within words
    line_with(out, "copied by real text", "line")


@pytest.mark.parametrize("name", ["examples/shakespeare", "examples/penn"])
def test_the_tokens_of_samples_are_those_drawn(name):
    run = rnnscope.load(name)
    texts = ["".join(pieces) for pieces in zip(*run.stream(length=60, temperature=1.0, count=3, seed=1), strict=True)]
    found = samples(run, 3, 60, 1.0)
    assert [run.vocabulary.decode(ids).split() for ids in found] == [text.split() for text in texts]
    assert 0 < max(map(len, found)) <= 60


def test_another_text_is_scored_where_the_training_text_is_gone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    (text := tmp_path / "lines.txt").write_text("so it is\nand so it was\n" * 60, encoding="utf-8")
    (other := tmp_path / "other.txt").write_text("it was so\n" * 9, encoding="utf-8")
    assert main(["train", f"text={text}", *TINY, "trainer.max_steps=2"]) == 0
    text.unlink()
    capsys.readouterr()
    assert main(["evaluate", f"text={other}"]) == 0
    printed = capsys.readouterr()
    assert "-gram of" not in printed.out
    assert_says(printed.err.splitlines()[-1], "n-gram", "xz", str(text))
    assert main(["evaluate", f"text={other}", "samples=2"]) == 1


@pytest.mark.parametrize("word", ["ngram=0", "ngram=1000000", "samples=0", "length=0", "temperatures=[-1.0]"])
def test_what_means_nothing_is_refused(trained, word, capsys):
    words = ["samples=1"] if word.startswith(("length", "temperatures")) else []
    assert main(["evaluate", f"run={trained}", word, *words]) == 1
    assert_says(
        error_line(capsys.readouterr().err), word.replace("[", "").replace("]", ""), "least" if "temp" not in word else 0
    )


def test_the_line_of_a_copied_passage(tmp_path):
    """At level byte, START is a line feed too; as words, a line end may be a part of a token."""
    text = "one\n\n  two\nthree four\n"
    for vocabulary in (
        Vocabulary("byte", BYTES),
        Vocabulary.build(token_counts_of(text), DatasetConfig(name="x", level="word")),
    ):
        stream = np.insert(vocabulary.encode(text), 0, vocabulary.start)
        training = Training(vocabulary, SuffixArray(stream), set(), set(), None)
        four = next(at for at in range(len(stream)) if vocabulary.decode(stream[at:]).strip() == "four")
        assert training.place(four) == "line 4"


def test_the_line_of_a_copied_passage_between_start_and_end():
    vocabulary = Vocabulary.build(Counter("abcd"), DatasetConfig(name="x"))
    units = [[vocabulary.start, *vocabulary.encode(unit).tolist(), vocabulary.end] for unit in ("ab", "", "c", "d")]
    stream = np.concatenate(units)
    d = int(np.flatnonzero(stream == vocabulary.encode("d")[0])[0])
    strings = SuffixArray(stream)
    places = {kind: Training(vocabulary, strings, set(), set(), kind).place(d) for kind in ("line", "paragraph", "sentence")}
    assert places == {"line": "line 4", "paragraph": f"token {d:,}", "sentence": f"token {d:,}"}


def test_a_table_is_scored_by_the_column_that_was_read(tmp_path, outputs, capsys):
    rows = [f"{number},she said: no {number}\n" for number in range(200)]
    (tmp_path / "train.csv").write_text("id,body\n" + "".join(rows))
    (tmp_path / "test.csv").write_text("body;id\n" + "".join(f"she said;{number}\n" for number in range(30)))
    (tmp_path / "other.csv").write_text("id,title\n1,she\n")
    words = [*TINY, "trainer.max_steps=2", "trainer.val_every=2", "monitor.sample_length=0"]
    assert main(["train", f"text={tmp_path / 'train.csv'}", "dataset.corpus.column=body", "name=csv", *words]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run=csv", f"text={tmp_path / 'test.csv'}", "ngram=null"]) == 0
    said = capsys.readouterr()
    assert_says(line_with(said.out, "scored"), f"{30 * 9 - 1} tokens")
    assert_says(line_with(said.err, "CSV"), "delimiter ';'", "column 'body'")
    assert main(["evaluate", "run=csv", f"text={tmp_path / 'other.csv'}", "ngram=null"]) == 1
    assert_says(error_line(capsys.readouterr().err), "other.csv", "body", "title", "give a table")


def test_another_text_is_read_by_the_rules_of_the_run(tmp_path, outputs, capsys):
    (tmp_path / "book.txt").write_text("".join(f"line {number} of it\n" for number in range(200)))
    older = ["dataset.corpus.reader_version=5", "dataset.strip_gutenberg=true", "dataset.corpus.lines=true"]
    words = [*TINY, *older, "trainer.max_steps=2", "trainer.val_every=2", "monitor.sample_length=0"]
    assert main(["train", f"text={tmp_path / 'book.txt'}", "name=older", *words]) == 0
    assert main(["evaluate", "run=older", f"text={tmp_path / 'book.txt'}", "ngram=null"]) == 0, capsys.readouterr().err


def test_advice_is_on_what_evaluate_has(trained, tmp_path, capsys):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    for words, parts in (
        ([f"text={tmp_path / 'd'}"], ["a.png", "an image", "text files only"]),
        (["samples=1000000", "length=5"], ["samples=1000000", "at most"]),
    ):
        assert main(["evaluate", f"run={trained}", "ngram=null", *words]) == 1
        line = error_line(capsys.readouterr().err)
        assert_says(line, *parts)
        assert not {"exclude", "count"} & {*re.findall(r"\w+", line)}


def test_windows_that_a_run_does_not_have_are_refused(tmp_path, outputs, capsys):
    (tmp_path / "names.txt").write_text("emma\nolivia\nava\n" * 200)
    samples = ["dataset.windows=samples", "dataset.start_end=line", "dataset.corpus.lines=true"]
    words = [*TINY, *samples, "trainer.max_steps=2", "trainer.val_every=2", "monitor.sample_length=0"]
    assert main(["train", f"text={tmp_path / 'names.txt'}", "name=names", *words]) == 0
    assert main(["evaluate", "run=names", "window=64", "ngram=null"]) == 1
    assert_says(error_line(capsys.readouterr().err), "window=64", "dataset.windows=samples")


def token_counts_of(text: str) -> Counter:
    counts = token_counts("word")
    counts.add([text])
    return counts.counts()
