import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from messages import user_error

from rnnscope.data.config import READER_VERSION, CorpusConfig, DatasetConfig, SplitConfig
from rnnscope.data.corpus import Corpus
from rnnscope.data.prepare import prepare

FILES = {
    "b.txt": b"second\n",
    "a.txt": b"first\n",
    "inner/c.txt.gz": gzip.compress(b"third\n", mtime=0),
    "__MACOSX/._a.txt": b"\0\5\x16\7",
    "inner/.secret": b"hidden\n",
    ".git/config": b"hidden\n",
}


def pack(path: Path, files: dict[str, bytes] | list[tuple[str, bytes]], prefix: str = "") -> Path:
    files = [*files.items()] if isinstance(files, dict) else files
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files:
                archive.writestr(prefix + name, content)
        return path
    compression = {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in files:
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def read(path: Path | str, folder: Path, **corpus) -> str:
    corpus = {"reader_version": READER_VERSION, "separator": ""} | corpus
    config = DatasetConfig(corpus=CorpusConfig(path=str(path), **corpus), split=SplitConfig(1.0, 0.0, 0.0))
    text = prepare(config, folder / "cache", None, print)
    read.report = text.report
    return text.vocabulary.decode(text.stream("train")[1:])


SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("prefix", ["", "./"])
def test_members_in_order_of_their_names_without_hidden_ones(tmp_path, suffix, prefix):
    path = pack(tmp_path / f"texts{suffix}", FILES, prefix)
    assert read(path, tmp_path) == "first\nsecond\nthird\n"
    assert "left out 3 hidden members of archives" in read.report
    folder = tmp_path / "folder"
    folder.mkdir()
    path.rename(folder / path.name)
    assert read(folder, tmp_path) == "first\nsecond\nthird\n"
    assert read(f"{folder / path.name}/{prefix}inner/*", tmp_path, lines=True) == "third"
    with user_error(".secret", "dataset.corpus.include", "exclude"):
        read(f"{folder / path.name}/*.secret", tmp_path)


def test_hard_links_in_a_tar_file_are_files(tmp_path):
    (tmp_path / "b.txt").write_text("second\n")
    (tmp_path / "c.txt").hardlink_to(tmp_path / "b.txt")
    with tarfile.open(tmp_path / "linked.tar", "w") as archive:
        for name in ("b.txt", "c.txt"):
            archive.add(tmp_path / name, name)
    assert read(tmp_path / "linked.tar", tmp_path) == "second\nsecond\n"
    assert read(tmp_path / "linked.tar", tmp_path, reader_version=3) == "second\n"


def linked(path: Path) -> Path:
    """Write an archive with a file and a symbolic link to it, as `zip -y` and `tar` do."""
    if path.suffix == ".zip":
        link = zipfile.ZipInfo("b.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "text\n")
            archive.writestr(link, "a.txt")
        return path
    (path.parent / "a.txt").write_text("text\n")
    (path.parent / "b.txt").symlink_to("a.txt")
    with tarfile.open(path, "w") as archive:
        for name in ("a.txt", "b.txt"):
            archive.add(path.parent / name, name)
    return path


@pytest.mark.parametrize(("name", "before"), [("texts.zip", "text\na.txt"), ("texts.tar", "text\n")])
def test_symbolic_links_are_left_out_and_counted(tmp_path, name, before):
    path = linked(tmp_path / name)
    assert read(path, tmp_path) == "text\n"
    assert "left out 1 symbolic link in archives" in read.report
    assert read(path, tmp_path, reader_version=4) == before


@pytest.mark.parametrize("target", ["gone.txt", "b.txt", "folder", "pipe"])
def test_a_hard_link_to_what_is_no_file_of_the_archive_is_named(tmp_path, target):
    path = tmp_path / "texts.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("folder", tarfile.DIRTYPE), ("pipe", tarfile.FIFOTYPE), ("b.txt", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target if kind == tarfile.LNKTYPE else ""
            archive.addfile(info)
        info = tarfile.TarInfo("a.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"text\n"))
    with user_error(f"{path}/b.txt", "hard link", "dataset.corpus.exclude"):
        read(path, tmp_path)
    assert read(path, tmp_path, exclude=["b.txt"]) == "text\n"


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_with_the_same_name_the_last_one_counts(tmp_path, suffix):
    path = pack(tmp_path / f"texts{suffix}", [("a.txt", b"old\n"), ("a.txt", b"new\n"), ("../b.txt", b"outside\n")])
    assert read(path, tmp_path) == "outside\nnew\n"
    assert "left out 1 earlier member of the same name" in read.report


def test_a_name_that_is_not_utf_8(tmp_path):
    path = tmp_path / "texts.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        for name in ("b.txt", "\xe9.txt"):
            info = tarfile.TarInfo(name)
            info.size = 5
            archive.addfile(info, io.BytesIO(b"text\n"))
    for shuffle in (False, True):
        assert read(path, tmp_path, shuffle=shuffle) == "text\ntext\n"


def test_a_name_that_is_not_what_the_archive_says_is_named(tmp_path):
    path = pack(tmp_path / "texts.zip", {"\u65e5.txt": b"text\n"})  # such a name is marked as UTF-8
    path.write_bytes(path.read_bytes().replace("\u65e5".encode(), b"\xff\xff\xff"))
    with user_error(path, "damaged"):
        read(path, tmp_path)


@pytest.mark.parametrize("suffix", [".xz", ".lzma", ".bz2", ".gz"])
def test_all_streams_of_a_compressed_file_are_read_and_nothing_else_may_follow(tmp_path, suffix):
    compress = {".xz": lzma.compress, ".bz2": bz2.compress, ".gz": gzip.compress}.get(suffix, lzma_alone)
    long = "".join(f"line {i}\n" for i in range(40_000))  # more than a block
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(compress(long.encode()) + compress(b"second\n") + bytes(8))
    assert read(path, tmp_path) == f"{long}second\n"
    for tail in (b"plain text", bytes(100_000) + b"after a gap"):
        path.write_bytes(compress(b"first\n") + tail)
        with user_error(path, "damaged"):
            read(path, tmp_path)
    path.write_bytes(compress(long.encode())[:-9])
    with user_error(path, "damaged"):
        read(path, tmp_path)


def lzma_alone(content: bytes) -> bytes:
    return lzma.compress(content, format=lzma.FORMAT_ALONE)


def test_an_older_run_reads_its_archive_as_it_did(tmp_path):
    files = {name: content for name, content in FILES.items() if content.isascii() and b"\0" not in content}
    path = pack(tmp_path / "texts.zip", files)
    assert read(path, tmp_path, reader_version=1) == "hidden\nfirst\nsecond\nhidden\n"
    sources = Corpus(CorpusConfig(str(pack(tmp_path / "a.tar", files))), tmp_path, print).find()["train"]
    assert [source.member for source in sources] == [None]


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_messages_name_the_member(tmp_path, suffix):
    path = pack(tmp_path / f"texts{suffix}", {"a.txt": b"text\n" * 9, "inner/b.txt": b"caf\xe9\n"})
    with user_error(f"{path}/inner/b.txt", "utf-8", "0xE9", 3, "dataset.encoding"):
        read(path, tmp_path)
    path = pack(tmp_path / f"tables{suffix}", {"a.csv": b"text\nx\n", "b.csv": b"body\nx\n"})
    with user_error(f"{path}/b.csv", "'text'", "body"):
        read(path, tmp_path, column="text")
    path = pack(tmp_path / f"images{suffix}", {"a.txt": b"text\n", "scan.png": png()})
    with user_error(f"{path}/scan.png", "image", "dataset.corpus.exclude"):
        read(path, tmp_path)


def test_many_members_of_a_compressed_archive_are_read_in_one_go(tmp_path):
    files = {f"{i * 7919 % 1000:03}.txt": f"text {i}\n".encode() * 300 for i in range(1000)}
    path = pack(tmp_path / "texts.tar.xz", files)
    begin = time.process_time()
    assert read(path, tmp_path) == "".join(files[name].decode() for name in sorted(files))
    assert time.process_time() - begin < 20  # unpacked again for each member it would be minutes


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_archive_is_named(tmp_path, suffix):
    path = pack(tmp_path / f"texts{suffix}", {"a.txt": bytes(range(32, 127)) * 50})
    path.write_bytes(path.read_bytes()[:90])
    with user_error(path, "damaged"):
        read(path, tmp_path)


def test_an_encrypted_archive_is_to_be_unpacked(tmp_path):
    path = pack(tmp_path / "texts.zip", {"a.txt": b"text"})
    content = bytearray(path.read_bytes())
    for flags in (6, content.index(b"PK\x01\x02") + 8):  # of the file and of the directory (PKWARE's APPNOTE, 4.3.7 and 4.3.12)
        content[flags] |= 1
    path.write_bytes(content)
    with user_error(path, "encrypted", "unpack"):
        read(path, tmp_path)


def png() -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("essay.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", ["PDF", "pdftotext"]),
        ("scan.png", png(), ["image", "tesseract"]),
        ("photo.txt", b"\xff\xd8\xff\xe0\0\x10JFIF", ["image", "tesseract"]),
        ("states.npy", b"\x93NUMPY\x01\0v\0{", ["NumPy"]),
        ("thesis.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ["Office", "libreoffice"]),
        ("text", gzip.compress(b"text", mtime=0), ["compressed", "suffix .gz"]),
        ("text.Z", b"\x1f\x9d\x90t\xca\xe0\xa1\x53", ["compressed", "unpack it"]),
        ("text.gz", gzip.compress(gzip.compress(b"text", mtime=0), mtime=0), ["compressed", "(unpack it)"]),
    ],
)
def test_files_that_are_not_text_say_what_they_are(tmp_path, name, content, parts, encoding):
    path = tmp_path / name
    path.write_bytes(content)
    config = DatasetConfig(corpus=CorpusConfig(path=str(path)), encoding=encoding)
    with user_error(path, *parts, "dataset.corpus.exclude"):
        prepare(config, tmp_path / "cache", None, print)


def test_an_office_document(tmp_path):
    path = tmp_path / "essay.docx"
    pack(tmp_path / "essay.zip", {"word/document.xml": b"<w:t>\xc3\xa9</w:t>" * 99}).rename(path)
    with user_error(path, "office document", "pandoc", "dataset.corpus.exclude"):
        read(path, tmp_path)


@pytest.mark.parametrize("inner", ["in.tar", "in.tar.gz"])
def test_an_archive_inside_an_archive_is_not_text(tmp_path, inner):
    packed = pack(tmp_path / inner, {"a.txt": b"some text\n" * 90}).read_bytes()
    path = pack(tmp_path / "outer.zip", {inner: packed})
    with user_error(f"outer.zip/{inner}", "tar archive", "unpack"):
        read(path, tmp_path)


def test_text_that_begins_like_such_a_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("%PDF-1.4 is how a PDF begins.\n" * 9)
    assert read(path, tmp_path) == path.read_text()


def test_a_member_is_named_exactly(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as file:
        for name in ("a.txt", "sub/a.txt", "chapter [1].txt", "chapter 1.txt"):
            file.writestr(name, f"the text of {name}")
    for member in ("a.txt", "sub/a.txt", "chapter [1].txt"):
        config = CorpusConfig(path=f"{tmp_path / 't.zip'}/{member}", reader_version=READER_VERSION)
        found = Corpus(config, tmp_path, print).find()
        assert [source.name for source in found["train"]] == [f"t.zip/{member}"]
