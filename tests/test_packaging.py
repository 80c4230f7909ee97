"""An installed rnnscope finds its configs: a wheel is built, opened in an empty folder, and composes."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from messages import assert_says, error_line

from rnnscope.cli import main

ROOT = Path(__file__).parents[1]
OPTIONAL = ("sweep", "mlflow", "wandb", "structure")  # extras whose packages src/ imports where they are installed


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


@pytest.mark.slow
def test_a_wheel_composes_away_from_the_checkout(tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "outputs", "build", "*.egg-info", "tests"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", "--no-deps", "--no-build-isolation", "--target", site, source], check=True)
    code = "import sys; sys.argv = ['rnnscope', 'train', '--cfg', 'job']; from rnnscope.cli import main; main()"
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    printed = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "cell: lstm" in printed
    assert (site / "rnnscope" / "conf" / "train.yaml").is_file()
    assert (site / "rnnscope" / "examples" / "shakespeare" / "model.safetensors").is_file()
    assert all((site / "rnnscope" / "comparison" / f"page.{kind}").is_file() for kind in ("html", "css", "js"))


def test_on_windows_one_line_says_where_it_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["train"]) == 1
    assert_says(error_line(capsys.readouterr().err), "Linux", "macOS", "WSL")
