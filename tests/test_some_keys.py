"""A few of the values that tests/slow/test_every_key.py sets every key to."""

from pathlib import Path

import pytest
from every_key import cases, outcome

CASES = list(cases())[::30]


@pytest.mark.parametrize("words", [words for _, words in CASES], ids=lambda words: "-".join(words).replace("/", "|"))
def test_a_value_trains_or_is_refused(words: list[str], story: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert outcome(["dataset=text_files", f"dataset.corpus.path={story}", *words], tmp_path, capsys)
