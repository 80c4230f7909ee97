import os
import sysconfig
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import nobody

from rnnscope.data.corpus import Corpus, content_digest, package_path
from rnnscope.errors import UserError


def names(corpus: Corpus) -> list[str]:
    return [source.name for source in corpus.find()["train"]]


@pytest.fixture
def tree(tmp_path):
    for name in ("b.c", "a.c", "lib/c.c", "lib/c.h", ".git/config", ".hidden.c", "lib/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_folder_is_all_its_files_sorted(tree):
    assert names(Corpus(str(tree))) == ["a.c", "b.c", "lib/c.c", "lib/c.h"]


def test_include_and_exclude(tree):
    assert names(Corpus(str(tree), include=["*.c"], exclude=["lib/*"])) == ["a.c", "b.c"]
    assert names(Corpus(str(tree), include=["c.*"])) == ["lib/c.c", "lib/c.h"]


def test_a_glob(tree):
    assert names(Corpus(f"{tree}/**/*.h")) == [f"{tree}/lib/c.h"]
    assert names(Corpus(f"{tree}/?.c")) == [f"{tree}/a.c", f"{tree}/b.c"]


def test_a_name_with_spaces_and_brackets_is_a_name(tmp_path):
    path = tmp_path / "my book [1] (final).txt"
    path.write_text("text")
    assert [source.path for source in Corpus(str(path)).find()["train"]] == [path]


def test_a_folder_with_brackets_in_a_glob_is_a_folder(tmp_path):
    (tmp_path / "notes [a] (1)").mkdir()
    for name in ("one.txt", "two.txt", "two.c"):
        (tmp_path / "notes [a] (1)" / name).write_text("text")
    folder = f"{tmp_path}/notes [a] (1)"
    assert names(Corpus(f"{folder}/*.txt")) == [f"{folder}/one.txt", f"{folder}/two.txt"]
    assert names(Corpus(f"{tmp_path}/notes*/t[w]o.*")) == [f"{folder}/two.c", f"{folder}/two.txt"]


def test_a_file_that_is_named_is_taken_whatever_include_says(tree):
    assert names(Corpus(str(tree / "a.c"), include=["*.h"])) == ["a.c"]


def test_a_folder_of_one_file_is_looked_through_all_the_same(tmp_path):
    (tmp_path / "a.py").write_text("text")
    assert names(Corpus(str(tmp_path), include=["*.py"])) == ["a.py"]
    message = "no file in it matches: include=['*.c'] exclude=[] (hidden files are never taken): change dataset.corpus.include"
    assert refused(Corpus(str(tmp_path), include=["*.c"])) == f"dataset.corpus.path={tmp_path}: {message} or exclude"
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert "no file in it matches" in refused(Corpus(str(tmp_path / "empty.zip")))


def test_shuffled_files_are_the_same_files_in_another_order_on_every_machine(tmp_path):
    for i in range(20):
        (tmp_path / f"{i:02}.txt").write_text("text")
    found = names(Corpus(str(tmp_path), shuffle=True))
    assert found != sorted(found)
    assert sorted(found) == names(Corpus(str(tmp_path)))
    assert found[:4] == ["18.txt", "06.txt", "08.txt", "05.txt"]


def test_members_of_a_zip_file(tmp_path):
    path = tmp_path / "texts.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("w/train.txt", "w/valid.txt"):
            archive.writestr(name, name)
    found = Corpus(f"{path}/w/train.txt", val_path=f"{path}/w/v*").find()
    assert [source.member for source in found["train"]] == ["w/train.txt"]
    assert [source.member for source in found["val"]] == ["w/valid.txt"]
    assert [source.member for source in Corpus(str(path), exclude=["*/valid.txt"]).find()["train"]] == ["w/train.txt"]


def test_the_standard_library_without_tests_and_installed_packages():
    found = names(Corpus(packages=["stdlib"], exclude=["*test*", "site-packages/*", "dist-packages/*"]))
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
    assert names(Corpus(packages=["hypothesis"], include=["errors.py"])) == ["hypothesis/errors.py"]
    assert package_path("numpy").name == "numpy"


def test_the_digest_is_of_contents_not_of_names_or_dates(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for new, old in (("1.c", "a.c"), ("2.c", "b.c")):
        (other / new).write_text((tree / old).read_text())
    digest = content_digest(Corpus(f"{tree}/?.c").find())
    assert content_digest(Corpus(str(other)).find()) == digest
    (other / "2.c").write_text("B.c")
    assert content_digest(Corpus(str(other)).find()) != digest
    (other / "2.c").write_text("b.c")
    os.utime(other / "2.c", (1, 1))
    assert content_digest(Corpus(str(other)).find()) == digest


def test_data_folder_of_the_environment(tmp_path, monkeypatch):
    (tmp_path / "book.txt").write_text("text")
    monkeypatch.setenv("RNNSCOPE_DATA", str(tmp_path))
    assert Corpus("book.txt").find()["train"][0].path == tmp_path / "book.txt"


def test_dangling_links_and_links_to_folders_are_left_out_and_counted(tree):
    (tree / "gone.c").symlink_to(tree / "nowhere")
    (tree / "loop").symlink_to(tree)
    corpus = Corpus(str(tree))
    assert names(corpus) == ["a.c", "b.c", "lib/c.c", "lib/c.h"]
    assert corpus.changes == {"dangling links left out": 1, "links to folders not followed": 1}


def refused(corpus: Corpus) -> str:
    with pytest.raises(UserError) as error:
        corpus.find()
    return str(error.value)


def test_bad_paths(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNSCOPE_DATA", raising=False)
    gone, link = tmp_path / "gone.txt", tmp_path / "link.txt"
    link.symlink_to(gone)
    assert refused(Corpus(str(gone))) == (
        f"dataset.corpus.path={gone}: no such file or folder: give an existing file, folder or glob"
    )
    assert refused(Corpus(str(link))) == (
        f"dataset.corpus.path={link}: a link to something that is not there: give an existing file, folder or glob"
    )
    assert refused(Corpus()) == ("dataset.corpus.path is not set: give a file, a folder or a glob (rnnscope train text=PATH)")
    link.unlink()
    assert refused(Corpus(str(tmp_path))) == (
        f"dataset.corpus.path={tmp_path}: no file in it matches: include=['*'] exclude=[]"
        " (hidden files are never taken): change dataset.corpus.include or exclude"
    )


def test_an_unreadable_folder():
    with TemporaryDirectory() as folder:  # pytest's own are shut for others
        os.chmod(folder, 0o755)
        shut = Path(folder, "shut")
        shut.mkdir(0)
        with nobody():
            message = refused(Corpus(folder))
    assert message == f"{shut}: cannot be read (Permission denied): change its permissions or exclude it"


def test_bad_packages():
    assert refused(Corpus(packages=["no_such_package"])) == (
        "dataset.corpus.packages: no package 'no_such_package' here: install it, or name another such as stdlib"
    )
    root = package_path("hypothesis")
    assert refused(Corpus(packages=["hypothesis"], include=["*.f90"])) == (
        f"dataset.corpus.packages: no file of hypothesis ({root}) matches include and exclude"
    )
