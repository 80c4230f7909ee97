"""What the documentation names exists: files, functions, links."""

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ROW = re.compile(r"^\| .+\? \| `(?P<file>[\w/]+)\.py` \| `(?P<function>[\w.]+)` \|$", re.M)


def test_the_functions_that_answer_questions_exist() -> None:
    rows = ROW.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert len(rows) == 10
    for file, function in rows:
        module = importlib.import_module("rnnscope." + file.replace("/", "."))
        assert callable(reduce(getattr, function.split("."), module)), function


def test_the_tree_names_every_file() -> None:
    tree = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## The tree")[1].split("```")[1]
    named = set(re.findall(r"[\w]+\.py\b", tree))
    files = {path.name for path in (ROOT / "src" / "rnnscope").rglob("*.py")} - {"__init__.py", "__main__.py"}
    assert named == files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target
