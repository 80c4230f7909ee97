"""What is packaged and declared: every folder of the source, and the packages that it imports."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from messages import assert_says, error_line

from rnnscope.cli import main

ROOT = Path(__file__).parents[1]
OPTIONAL = ("sweep", "mlflow", "wandb", "structure", "onnx")  # extras whose packages src/ imports where they are installed


def folders(top: Path, name: str) -> set[str]:
    """Every folder below `top` that holds files of the package, as dotted names."""
    files = [file for file in top.rglob("*") if file.suffix in (".py", ".yaml")]
    return {".".join([name, *file.parent.relative_to(top).parts]) for file in files}


def test_every_folder_is_packaged():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == folders(ROOT / "src" / "rnnscope", "rnnscope") | folders(ROOT / "conf", "rnnscope.conf")


def imported() -> set[str]:
    """Return the packages that src/ imports, the standard library and rnnscope left out."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - {"rnnscope"}


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}


def test_what_is_imported_is_declared_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed, optional = names_of(project["dependencies"]), names_of([each for name in OPTIONAL for each in extras[name]])
    owners = packages_distributions()
    found = {package: {owner.lower() for owner in owners.get(package, [package])} for package in imported()}
    assert {package: owned for package, owned in found.items() if not owned & (needed | optional)} == {}
    assert needed - set().union(*found.values()) == set()


def test_on_windows_one_line_says_where_it_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["train"]) == 1
    assert_says(error_line(capsys.readouterr().err), "Linux", "macOS", "WSL")


def test_every_file_that_the_makefile_names_exists():
    names = re.findall(r"(?<![\w./-])(?:tests|examples)/[\w./]+", (ROOT / "Makefile").read_text())
    assert "tests/test_gpu.py" in names
    assert [name for name in names if not (ROOT / name).exists()] == []
