"""Each key of training, set to each value that conf/ names and to values at the limits of its type, trains or is refused."""

from pathlib import Path

import pytest
from every_key import cases, outcome

LINES = "".join(f"{number} apples and {number * 7 % 13} pears fell. <unk> rain, MIND the gap!\n" for number in range(120))
TABLE = "text,n\n" + "".join(f"hello {number} you,{number}\n" for number in range(200))
TEXTS = {  # what is trained on, in different ways
    "stream": (LINES, []),
    "samples of words": (LINES, ["dataset.windows=samples", "dataset.start_end=line", "dataset.level=word"]),
    "column": (TABLE, ["dataset.corpus.column=text"]),
}
CASES = list(cases())
GROUPS = sorted({key for key, _ in CASES})


@pytest.mark.parametrize("key", GROUPS)
@pytest.mark.parametrize("kind", TEXTS)
def test_a_key(kind: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    text, more = TEXTS[kind]
    monkeypatch.chdir(tmp_path)
    Path("text.csv").write_text(text)
    base = ["dataset=text_files", "dataset.corpus.path=text.csv", *more]
    found = {outcome([*base, *words], tmp_path / str(n), capsys) for n, (of, words) in enumerate(CASES) if of == key}
    assert found <= {"finished", "refused"}
