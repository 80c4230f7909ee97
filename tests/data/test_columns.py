import bz2
import json
from collections import Counter
from pathlib import Path

import pytest
from messages import counted, user_error

from rnnscope.data.archives import Archives
from rnnscope.data.columns import column_values
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.sources import Source, documents


def read(path: Path, encoding: str = "utf-8", **corpus) -> list[str]:
    changes: Counter[str] = Counter()
    config = DatasetConfig(corpus=CorpusConfig(**corpus), encoding=encoding)
    found = ["".join(document) for document in documents(Source(path, path.name), config, changes, Archives())]
    read.said = next(key for key in changes if key.startswith("files read as"))
    read.changes = {key: count for key, count in changes.items() if count and key != read.said}
    return found


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


CSV = 'id,body\n1,"two\nlines, one ""quote"""\n2,\n3\n4,plain\n'


def test_one_column_of_a_csv(tmp_path):
    path = tmp_path / "comments.csv"
    path.write_text("\ufeff" + CSV)
    assert read(path, column="body") == ['two\nlines, one "quote"', "plain"]
    assert counted(read.changes, "rows", "body") == sum(read.changes.values()) == 2


def test_blank_lines_before_the_first_row(tmp_path):
    path = write(tmp_path / "t.csv", "\n\ntext,tag\nfirst,x\n\nsecond,y\n")
    assert read(path, column="text") == ["first", "second"]
    assert read(path, column="2", header=False) == ["tag", "x", "y"]


def test_an_escape_that_is_the_delimiter_is_refused(tmp_path):
    path = write(tmp_path / "table.csv", "text;tag\nfirst;x\n")
    with user_error(path, "dataset.corpus.escape=';'", "delimiter"):
        read(path, column="text", escape=";")


def test_a_csv_cut_off_inside_quotes_keeps_its_last_row(tmp_path):
    path = tmp_path / "comments.csv"
    path.write_text('body\n"one"\n"two and')
    assert read(path, column="body") == ["one", "two and"]
    assert counted(read.changes, "rows", "quotes") == sum(read.changes.values()) == 1


def test_a_csv_without_the_column(tmp_path):
    path = tmp_path / "comments.csv"
    path.write_text(CSV)
    with user_error(path, "'text'", "id", "body", "dataset.corpus.column"):
        read(path, column="text")


def test_commas_between_json_objects(tmp_path):
    path = tmp_path / "comments.jsonl"
    path.write_text('{"body": "one"},\n{"body": "two"},\n')
    with user_error(path, "comma", "sed"):
        read(path, column="body")


def test_what_is_no_csv(tmp_path):
    path = tmp_path / "comments.csv"
    path.write_text('body\n"one"x\n')
    with user_error(path, "CSV", "line 2", "',' expected after '\"'", "dataset.corpus.column"):
        read(path, column="body")


def test_tab_separated(tmp_path):
    path = tmp_path / "comments.tsv"
    path.write_text("id\tbody\n1\tone, two\n")
    assert read(path, column="body") == ["one, two"]


ROWS = [["7", 'He said "no"; twice, then left', "de"], ["8", "two\nlines", "fr"], ["9", "plain | text", ""]]


def written(delimiter: str, end: str, quote: str) -> str:
    """A table of ROWS with all cells in quotes; `quote` stands for a quote in a cell."""
    rows = [["id", "My Text (raw)", "tag"], *ROWS]
    quoted = ([f'"{cell.replace(chr(34), quote)}"' for cell in row] for row in rows)
    return "".join(delimiter.join(row) + end for row in quoted)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quote", ['""', '\\"'])
def test_dialects_are_told_from_the_table(tmp_path, delimiter, end, quote):
    path = write(tmp_path / "table.csv", written(delimiter, end, quote))
    assert read(path, column="My Text (raw)") == [row[1] for row in ROWS]
    assert read(path, column="2") == [row[1] for row in ROWS]
    assert repr(delimiter) in read.said
    assert ("\\ before quotes" in read.said) == (quote != '""')
    assert read(path, column="tag") == ["de", "fr"]
    assert counted(read.changes, "rows", "tag") == 1


def test_a_table_longer_than_what_its_dialect_is_told_from(tmp_path):
    cells = [f"row {i}; {'x' * (i % 900)}" for i in range(1000)]
    text = "sep=;\r\nid;body\r\n" + "".join(f'{i};"{cell}"\r\n' for i, cell in enumerate(cells))
    path = write(tmp_path / "table.txt.bz2", bz2.compress(text.encode("utf-16")))
    assert read(path, "utf-16", column="body") == cells
    path = write(tmp_path / "table.csv", text.replace("sep=;\r\n", "").replace("\r\n", "\r"))
    assert read(path, column="body") == cells
    path = write(tmp_path / "table.csv", "".join(f'{i},"say \\"{i}\\""\n' for i in range(9000)))
    assert read(path, column="2", header=False) == [f'say "{i}"' for i in range(9000)]


def test_a_table_without_a_header(tmp_path):
    path = write(tmp_path / "reviews.csv", "5;very good\n1;bad, very bad\n4;good\n")
    assert read(path, column="2", header=False) == ["very good", "bad, very bad", "good"]
    assert read(path, column="2") == ["bad, very bad", "good"]
    with user_error(path, "column", "'3'", 2, "dataset.corpus.column", "dataset.corpus.delimiter"):
        read(path, column="3", header=False)


def test_keys_overrule_what_is_detected(tmp_path):
    path = write(tmp_path / "table.csv", "a,b:c\n1,x~:2\n")
    assert read(path, column="b:c") == ["x~:2"]
    assert read(path, column="c", delimiter=":") == ["2"]
    assert read(path, column="1", delimiter=":", escape="~", header=False) == ["a,b", "1,x:2"]
    assert read(write(path, "a\tb\n1\t2\n"), column="b", delimiter="\\t") == ["2"]


def test_commas_that_nothing_quotes_are_counted(tmp_path):
    path = write(tmp_path / "table.csv", "body\nplain\none, two\n")
    assert read(path, column="body") == ["plain", "one"]
    assert counted(read.changes, "rows", "more", "fields") == 1


def test_a_key_of_json_lines(tmp_path):
    rows = [{"id": i, "text": f"text {i}\n“日本”, {'x' * i * 20}"} for i in range(500)]
    lines = [json.dumps(row, ensure_ascii=i % 2 > 0) for i, row in enumerate(rows)]
    lines[1:1] = ["", '{"id": 3}', '{"text": ["a", "list"]}', '{"text": "half \\ud83d"}']
    path = write(tmp_path / "texts.jsonl", "\n".join(lines))
    texts = [row["text"] for row in rows]
    assert read(path, column="text") == [texts[0], "half \ufffd", *texts[1:]]
    assert counted(read.changes, "rows", "text") == 2
    assert counted(read.changes, "lone surrogates") == 1
    with user_error(path, "body", "id", "text", "dataset.corpus.column"):
        read(path, column="body")
    with user_error(write(path, '{"text": "a"}\n{"text": "b"\n'), "JSON", "line 2"):
        read(path, column="text")
    with user_error(write(path, '{\n"text": "a"\n}'), "JSON", "jq -c . FILE"):
        read(path, column="text")
    with user_error(write(path, '[\n{"text": "a"}\n]'), "JSON", "jq -c '.[]' FILE"):
        read(path, column="text")


def test_a_key_that_only_late_lines_have(tmp_path):
    rows = [{f"key {i}": i} for i in range(30)] + [{"text": "late"}]
    path = write(tmp_path / "texts.jsonl", "\n".join(map(json.dumps, rows)))
    assert read(path, column="text") == ["late"]


def test_a_byte_order_mark_before_a_long_line(tmp_path):
    path = write(tmp_path / "texts.jsonl", "\ufeff" + json.dumps({"text": "long " * 20_000}) + "\n")
    blocks = iter(["\ufeff" + path.read_text()[1:70_000], path.read_text()[70_000:]])
    assert list(column_values(blocks, CorpusConfig(column="text"), str(path), (), Counter())) == ["long " * 20_000]


def test_a_table_without_a_column_is_said(tmp_path):
    changes: Counter[str] = Counter()
    source = Source(write(tmp_path / "table.csv.bz2", bz2.compress(b"a,b\n")), "table")
    assert ["".join(blocks) for blocks in documents(source, DatasetConfig(), changes, Archives())] == ["a,b\n"]
    assert counted(changes, "plain text", "dataset.corpus.column") == 1


def test_json_that_python_refuses_is_no_defect(tmp_path):
    digits = write(tmp_path / "digits.jsonl", '{"text": "fine"}\n{"text": ' + "7" * 5000 + "}\n")
    assert read(digits, column="text") == ["fine"]
    deep = write(tmp_path / "deep.jsonl", '{"text": "fine"}\n{"other": ' + "[" * 50_000 + "]" * 50_000 + "}\n")
    with user_error(deep, "line 2"):
        read(deep, column="text")


def test_a_first_row_longer_than_what_is_looked_at(tmp_path):
    path = write(tmp_path / "long.csv", f'"{"x" * 300_000}",b\n' * 2)
    assert [len(text) for text in read(path, column="1", header=False)] == [300_000, 300_000]
