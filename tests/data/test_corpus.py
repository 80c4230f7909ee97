import hashlib
import os
import sysconfig
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import nobody
from messages import counted, user_error

from rnnscope.data.config import CorpusConfig
from rnnscope.data.corpus import Corpus, content_digest, package_path
from rnnscope.paths import absolute_path


def corpus(*path, **keys) -> Corpus:
    return Corpus(CorpusConfig(*path, **keys), Path("cache"), print)


def names(corpus: Corpus) -> list[str]:
    return [source.name for source in corpus.find()["train"]]


def tree_of(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def tree(tmp_path):
    for name in ("b.c", "a.c", "lib/c.c", "lib/c.h", ".git/config", ".hidden.c", "lib/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_folder_is_all_its_files_sorted(tree):
    assert names(corpus(str(tree))) == ["a.c", "b.c", "lib/c.c", "lib/c.h"]


def test_include_and_exclude(tree):
    assert names(corpus(str(tree), include=["*.c"], exclude=["lib/*"])) == ["a.c", "b.c"]
    assert names(corpus(str(tree), include=["c.*"])) == ["lib/c.c", "lib/c.h"]


def test_a_glob(tree):
    assert names(corpus(f"{tree}/**/*.h")) == [f"{tree}/lib/c.h"]
    assert names(corpus(f"{tree}/?.c")) == [f"{tree}/a.c", f"{tree}/b.c"]


def test_a_name_with_spaces_and_brackets_is_a_name(tmp_path):
    path = tmp_path / "my book [1] (final).txt"
    path.write_text("text")
    assert [source.path for source in corpus(str(path)).find()["train"]] == [path]


def test_a_folder_with_brackets_in_a_glob_is_a_folder(tmp_path):
    (tmp_path / "notes [a] (1)").mkdir()
    for name in ("one.txt", "two.txt", "two.c"):
        (tmp_path / "notes [a] (1)" / name).write_text("text")
    folder = f"{tmp_path}/notes [a] (1)"
    assert names(corpus(f"{folder}/*.txt")) == [f"{folder}/one.txt", f"{folder}/two.txt"]
    assert names(corpus(f"{tmp_path}/notes*/t[w]o.*")) == [f"{folder}/two.c", f"{folder}/two.txt"]


def test_a_file_that_is_named_is_taken_whatever_include_says(tree):
    assert names(corpus(str(tree / "a.c"), include=["*.h"])) == ["a.c"]


def test_a_folder_of_one_file_is_looked_through_all_the_same(tmp_path):
    (tmp_path / "a.py").write_text("text")
    assert names(corpus(str(tmp_path), include=["*.py"])) == ["a.py"]
    with user_error("dataset.corpus.path", tmp_path, "['*.c']", "[]", "hidden", "dataset.corpus.include"):
        corpus(str(tmp_path), include=["*.c"]).find()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with user_error("dataset.corpus.path", tmp_path / "empty.zip", "no file in it"):
        corpus(str(tmp_path / "empty.zip")).find()


def test_shuffled_files_are_the_same_files_in_another_order_on_every_machine(tmp_path):
    for i in range(20):
        (tmp_path / f"{i:02}.txt").write_text("text")
    found = names(corpus(str(tmp_path), shuffle=True))
    assert found != sorted(found)
    assert sorted(found) == names(corpus(str(tmp_path)))
    assert found[:4] == ["18.txt", "06.txt", "08.txt", "05.txt"]


def test_members_of_a_zip_file(tmp_path):
    path = tmp_path / "texts.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("w/train.txt", "w/valid.txt"):
            archive.writestr(name, name)
    found = corpus(f"{path}/w/train.txt", val_path=f"{path}/w/v*").find()
    assert [source.member for source in found["train"]] == ["w/train.txt"]
    assert [source.member for source in found["val"]] == ["w/valid.txt"]
    assert [source.member for source in corpus(str(path), exclude=["*/valid.txt"]).find()["train"]] == ["w/train.txt"]


def test_the_standard_library_without_tests_and_installed_packages():
    found = names(corpus(packages=["stdlib"], exclude=["*test*", "site-packages/*", "dist-packages/*"]))
    root = Path(sysconfig.get_path("stdlib"))
    expected = {
        f"stdlib/{relative}"
        for path in root.rglob("*.py")
        if "test" not in (relative := path.relative_to(root).as_posix())
        and not relative.startswith(("site-packages/", "dist-packages/"))
        and not any(part.startswith(".") for part in relative.split("/"))
    }
    assert set(found) == expected
    assert len(found) > 500


def test_an_installed_package_is_found_without_importing_it():
    assert names(corpus(packages=["hypothesis"], include=["errors.py"])) == ["hypothesis/errors.py"]
    assert package_path("numpy").name == "numpy"


def test_the_digest_is_of_contents_not_of_names_or_dates(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for new, old in (("1.c", "a.c"), ("2.c", "b.c")):
        (other / new).write_text((tree / old).read_text())
    digest = content_digest(corpus(f"{tree}/?.c").find())
    assert content_digest(corpus(str(other)).find()) == digest
    (other / "2.c").write_text("B.c")
    assert content_digest(corpus(str(other)).find()) != digest
    (other / "2.c").write_text("b.c")
    os.utime(other / "2.c", (1, 1))
    assert content_digest(corpus(str(other)).find()) == digest


def test_data_folder_of_the_environment(tmp_path, monkeypatch):
    (tmp_path / "book.txt").write_text("text")
    monkeypatch.setenv("RNNSCOPE_DATA", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "books.zip", "w") as archive:
        archive.writestr("one.txt", "text")
    (found,) = corpus("book.txt").find()["train"]
    assert found.path == tmp_path / "book.txt"
    monkeypatch.chdir(tree_of(tmp_path / "here", {}))
    for typed, expected in (("bo*.txt", "book.txt"), ("books.zip/*.txt", "books.zip/one.txt")):
        assert absolute_path(typed) == typed
        assert [str(source) for source in corpus(typed).find()["train"]] == [str(tmp_path / expected)]
    tree_of(Path.cwd(), {"boat.txt": "here comes before"})
    assert absolute_path("bo*.txt") == str(tmp_path / "here/bo*.txt")
    (tmp_path / "notes").mkdir()
    tree_of(tmp_path / "notes", {"n.txt": "text"})
    tree_of(Path.cwd(), {"notes": "a file, not an archive"})
    assert absolute_path("notes/n.txt") == "notes/n.txt"
    assert absolute_path("~nobodyhere/x.txt") == str(Path.cwd() / "~nobodyhere/x.txt")
    assert [str(source) for source in corpus("bo*.txt").find()["train"]] == ["boat.txt"]


@pytest.mark.parametrize("suffix", ["one.zip", "*.zip"])
@pytest.mark.parametrize("members", [["a.txt"], ["a.txt", "b.md", "in/a.txt"]])
def test_a_pattern_chooses_members_of_one_archive_or_of_several(tmp_path, suffix, members):
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        for name in members:
            archive.writestr(name, "text")
    chosen = [name for name in members if name.endswith(".txt")]
    found = corpus(f"{tmp_path}/{suffix}/*.txt", reader_version=6).find()["train"]
    assert [source.member for source in found] == chosen
    found = corpus(f"{tmp_path}/{suffix}/a.txt", reader_version=6).find()["train"]
    assert [source.member for source in found] == ["a.txt"]
    with user_error("*.py"):
        corpus(f"{tmp_path}/{suffix}/*.py", reader_version=6).find()
    older = corpus(f"{tmp_path}/*.zip/*.txt", reader_version=5).find()["train"]
    assert [source.member for source in older] == members


def test_dangling_links_and_links_to_folders_are_left_out_and_counted(tree):
    (tree / "gone.c").symlink_to(tree / "nowhere")
    (tree / "loop").symlink_to(tree)
    text = corpus(str(tree))
    assert names(text) == ["a.c", "b.c", "lib/c.c", "lib/c.h"]
    assert (counted(text.changes, "dangling"), counted(text.changes, "folders")) == (1, 1)


def test_bad_paths(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNSCOPE_DATA", raising=False)
    gone, link = tmp_path / "gone.txt", tmp_path / "link.txt"
    link.symlink_to(gone)
    with user_error("dataset.corpus.path", gone, "file", "folder", "glob"):
        corpus(str(gone)).find()
    with user_error("dataset.corpus.path", link, "link", "file", "folder", "glob"):
        corpus(str(link)).find()
    with user_error("dataset.corpus.path", "file", "folder", "glob", "rnnscope train text=PATH"):
        corpus().find()
    link.unlink()
    with user_error("dataset.corpus.path", tmp_path, "no file in it", "hidden"):
        corpus(str(tmp_path)).find()


def test_an_unreadable_folder():
    with TemporaryDirectory() as folder:  # pytest's own are shut for others
        os.chmod(folder, 0o755)
        shut = Path(folder, "shut")
        shut.mkdir(0)
        with nobody(), user_error(shut, "Permission denied", "exclude"):
            corpus(folder).find()


def test_bad_packages():
    with user_error("dataset.corpus.packages", "no_such_package", "stdlib"):
        corpus(packages=["no_such_package"]).find()
    with user_error("dataset.corpus.packages", "hypothesis", package_path("hypothesis"), "dataset.corpus.include", "exclude"):
        corpus(packages=["hypothesis"], include=["*.f90"]).find()


def test_the_shuffled_files_of_a_glob_keep_their_order_where_the_folder_moves(tmp_path):
    def order(place: str, version: int) -> list[str]:
        folder = tmp_path / place / "plays"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(12):
            (folder / f"{number}.txt").write_text("text")
        found = corpus(f"{folder.parent}/pl*/*.txt", shuffle=True, reader_version=version).find()["train"]
        return [source.path.name for source in found]

    assert order("here", 3) == order("somewhere/else", 3) == sorted(order("here", 3), key=lambda name: sha256(f"plays/{name}"))
    whole = [sha256(f"{tmp_path}/here/plays/{name}") for name in order("here", 2)]
    assert whole == sorted(whole)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_text_that_the_config_holds(tmp_path):
    say: list[str] = []
    for _ in range(2):
        (source,) = Corpus(CorpusConfig(inline="héllo"), tmp_path, say.append).find()["train"]
        assert source.path.read_text(encoding="utf-8") == "héllo"
        source.path.write_text("hé", encoding="utf-8")  # as a process that was killed would leave it


def test_who_has_a_text_that_is_absent(tmp_path):
    corpus = Corpus(CorpusConfig(str(tmp_path / "a.txt"), available_at="the library"), tmp_path, print)
    with user_error("dataset.corpus.path", "a.txt", "get it from the library"):
        corpus.find()


def test_an_archive_that_is_left_out_is_not_opened(tmp_path):
    tree_of(tmp_path / "d", {"a.txt": "text", "bad.zip": "not a zip file"})
    found = corpus(str(tmp_path / "d"), exclude=["bad.zip"], reader_version=6).find()["train"]
    assert [source.name for source in found] == ["a.txt"]
    with user_error("bad.zip", "damaged", "dataset.corpus.exclude"):
        corpus(str(tmp_path / "d"), reader_version=6).find()
