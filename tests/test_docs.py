"""What the documentation names exists: files, functions, links, commands; and every page can be found."""

import importlib
import re
import subprocess
import sys
from functools import reduce
from pathlib import Path

import pytest
import yaml

from rnnscope.cli import COMMANDS, usage

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
ROW = re.compile(r"^\| .+\? \| `(?P<file>[\w/]+)\.py` \| `(?P<function>[\w.]+)` \|$", re.M)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]+))?\)")


def test_the_functions_that_answer_questions_exist() -> None:
    rows = ROW.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert len(rows) == 10
    for file, function in rows:
        module = importlib.import_module("rnnscope." + file.replace("/", "."))
        assert callable(reduce(getattr, function.split("."), module)), function


def test_the_tree_names_every_file() -> None:
    tree = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## The tree")[1].split("```")[1]
    sources = tree.split("examples/ ")[0]
    named = set(re.findall(r"[\w]+\.py\b", sources))
    files = {path.name for path in (ROOT / "src" / "rnnscope").rglob("*.py")} - {"__init__.py", "__main__.py"}
    assert named == files


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in headings(path), f"{target}#{anchor}"


def test_every_page_is_in_the_readme_and_in_the_site() -> None:
    linked = {target for target, _ in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    names = {path.name for path in DOCS} - {"index.md"}
    assert {target.removeprefix("docs/") for target in linked if target.endswith(".md") and "docs/" in target} == names
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\b\w+\.md\b", str(yaml.safe_load(site)["nav"]))) == names | {"index.md"}


def test_help_names_pages_and_files_that_exist() -> None:
    said = [usage(), *(path.read_text(encoding="utf-8") for path in (ROOT / "conf").rglob("*.yaml"))]
    said += [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    pages = {page for text in said for page in re.findall(r"\bdocs/\w+\.md", text)}
    assert pages
    assert all((ROOT / page).is_file() for page in pages)


def test_the_readme_has_every_command_and_no_more_lines_than_a_person_reads() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `rnnscope (\w+)` \|", readme, re.M) == list(COMMANDS)
    assert len(readme.splitlines()) <= 150


def test_commands_on_the_pages_exist() -> None:
    for page in PAGES:
        if page.name != "extending.md":
            named = re.findall(r"\$ (?:.* )?rnnscope ([a-z]+)\b", page.read_text(encoding="utf-8"))
            assert set(named) <= set(COMMANDS), page.name


def test_make_targets_on_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in PAGES:
        named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text(encoding="utf-8")))
        assert named <= targets, page.name


def test_the_site_builds_where_mkdocs_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.parent.name for path in (tmp_path / "site").glob("*/index.html")} >= {path.stem for path in DOCS} - {"index"}


def test_the_page_on_lightning_names_every_ready_callback_and_logger() -> None:
    page, conf = (ROOT / "docs" / "lightning.md").read_text(encoding="utf-8"), ROOT / "conf"
    for path in [*conf.glob("callbacks/*.yaml"), *conf.glob("logger/*.yaml")]:
        assert f"`{path.stem}`" in page
