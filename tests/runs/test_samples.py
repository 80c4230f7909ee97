"""Reading samples.jsonl: the last sample, all of them, and lines that are not samples."""

import pytest
from messages import user_error

from rnnscope.runs.samples import final_sample, read_samples


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ('{"step": 5, "prompt": "", "temperature": 0.5, "text": "old"}\n', "old"),
        ("".join(f'{{"step": 9, "prompt": "", "temperature": {t}, "text": "{t}"}}\n' for t in (1.0, 0.5, 0.8)), "0.8"),
        ('{"step": 5, "prompt": "", "temperature": 0.5, "text": "whole"}\n{"step": 6, "pro', "whole"),
    ],
)
def test_the_final_sample(tmp_path, text, found):
    (tmp_path / "samples.jsonl").write_text(text)
    sample = final_sample(tmp_path / "samples.jsonl")
    assert (sample and sample.text) == found


@pytest.mark.parametrize("text", ["{}\n", "[1]\n", "x\n", '{"step": "many"}\n', "[" * 100_000 + "\n"])
def test_what_is_no_sample(tmp_path, text):
    (tmp_path / "samples.jsonl").write_text(text)
    with user_error(tmp_path / "samples.jsonl", "sample"):
        final_sample(tmp_path / "samples.jsonl")
    with user_error(tmp_path / "samples.jsonl", "sample"):
        list(read_samples(tmp_path / "samples.jsonl"))


def test_no_samples(tmp_path):
    assert final_sample(tmp_path / "samples.jsonl") is None
    assert list(read_samples(tmp_path / "samples.jsonl")) == []
