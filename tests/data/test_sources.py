import bz2
import gzip
import lzma
import os
import zipfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import nobody
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from messages import assert_says, counted, user_error

from rnnscope.data import sources
from rnnscope.data.archives import Archives
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.file_types import not_text
from rnnscope.data.sources import documents, members
from rnnscope.errors import UserError

TEXT = "naïve café\n日本語 👩‍👩‍👧\n" * 50


def read(path: Path, encoding: str = "utf-8", version: int = 2, level: str = "char", **corpus) -> list[str]:
    changes: Counter[str] = Counter()
    config = DatasetConfig(corpus=CorpusConfig(**corpus), encoding=encoding, level=level)
    with closing(Archives()) as archives:
        found = [
            "".join(document)
            for source in members(path, path.name, version, changes)
            for document in documents(source, config, changes, archives)
        ]
    read.changes = {key: count for key, count in changes.items() if count}
    return found


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_compressed_files_are_read_in_place(tmp_path, suffix, compress):
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(compress(TEXT.encode()))
    assert read(path) == [TEXT]


def test_zip_members_in_order_of_their_names(tmp_path):
    path = tmp_path / "texts.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("b.txt", "a.txt", "inner/c.txt"):
            archive.writestr(name, name + TEXT)
    assert read(path) == [name + TEXT for name in ("a.txt", "b.txt", "inner/c.txt")]


def test_a_cut_off_archive_is_named(tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:-20])
    with user_error(path, "Compressed file ended before the end-of-stream marker was reached", "damaged"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
def test_encodings_of_all_characters(tmp_path, monkeypatch, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode(encoding))
    monkeypatch.setattr(sources, "BLOCK", 7)  # characters come in two halves
    assert read(path, encoding) == [TEXT]


def test_shift_jis(tmp_path, monkeypatch):
    text = "吾輩は猫である。名前はまだ無い。\n" * 20
    path = tmp_path / "neko.txt"
    path.write_bytes(text.encode("shift_jis"))
    monkeypatch.setattr(sources, "BLOCK", 5)
    assert read(path, "shift_jis") == [text]


@given(st.binary(max_size=300) | st.binary(max_size=9).map(lambda rest: b"\xff\xfe" + rest), st.integers(1, 9))
@settings(max_examples=120, derandomize=True, deadline=None)
def test_the_offset_of_a_bad_byte_is_that_of_the_whole_file(tmp_path_factory, data, block):
    assume(b"\0" not in data or data[:1] in (b"\xff", b"\xfe"))  # refused for a different reason unless a bad byte comes first
    assume(not_text(data[:block], "text.txt") is None)
    path = tmp_path_factory.mktemp("bytes") / "text.txt"
    path.write_bytes(data)
    saved, sources.BLOCK = sources.BLOCK, block
    try:
        "".join(read(path))
    except UserError as refusal:
        said = str(refusal)
    else:
        said = None
    finally:
        sources.BLOCK = saved
    parts = parts_of_a_refusal(data, block)
    assert (said is None) == (parts is None)
    if said is not None:
        assert_says(said, path, "utf-8", *parts, "dataset.encoding")


def parts_of_a_refusal(data: bytes, block: int) -> list[object] | None:
    """What must be said of `data`, by what Python says of all of it at once."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        hint = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") and block >= 2 else "shift_jis"
        hint = "utf-32" if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") and block >= 4 else hint
        return [f"0x{data[error.start]:02X}", error.start, error.reason, hint]
    return None


def test_invalid_utf8_names_offset_and_key(shared_data):
    path = shared_data / "invalid_utf8_inaugural_speeches.txt"
    with user_error(path, "utf-8", "0xA1", 748349, "invalid start byte", "dataset.encoding", "cp1252", "latin-1", "shift_jis"):
        read(path)
    assert "¡" in read(path, "latin-1")[0]


def test_utf16_taken_for_utf8(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("plain text".encode("utf-16"))
    with user_error(path, "utf-8", "0xFF", 0, "invalid start byte", "dataset.encoding", "utf-16"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_a_wide_encoding_is_recognized(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(("Übergrößenträger " * 9).encode(encoding))
    with user_error(path, "not valid utf-8", f"({encoding})"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes("plain text".encode(encoding))
    with user_error(path, "NUL", "utf-8", f"dataset.encoding={encoding}", "dataset.corpus.exclude"):
        read(path)


def test_some_nul_characters_are_kept_and_counted(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"plain text \0 with two \0 of them")
    assert read(path) == ["plain text \0 with two \0 of them"]
    assert counted(read.changes, "NUL") == sum(read.changes.values()) == 2


@pytest.mark.parametrize("encoding", ["utf-9", "rot13", "base64"])
def test_what_is_no_text_encoding(encoding):
    with user_error("dataset.encoding", encoding, "utf-8", "utf-16", "cp1252", "shift_jis"):
        sources.text_decoder(encoding)


def test_an_unreadable_file():
    with TemporaryDirectory() as folder:  # pytest's own are shut for others
        os.chmod(folder, 0o755)
        path = Path(folder, "text.txt")
        path.write_text("text")
        path.chmod(0)
        with nobody(), user_error(path, "Permission denied"):
            read(path)


def test_reddit_comments(shared_data):
    found = read(shared_data / "reddit_comments.csv", column="body")
    assert len(found) == 212
    assert found[0].startswith("I joined a new league this year")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_as_documents(tmp_path, end):
    path = tmp_path / "names.txt"
    path.write_bytes(end.join(["emma", "olivia", "", "ava"]).encode())
    assert read(path, lines=True) == ["emma", "olivia", "", "ava"]
