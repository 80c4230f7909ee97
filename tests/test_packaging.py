"""An installed rnnscope finds its configs: a wheel is built, opened in an empty folder, and composes."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def folders(top: Path, name: str) -> set[str]:
    """Every folder below `top` that holds files of the package, as dotted names."""
    files = [file for file in top.rglob("*") if file.suffix in (".py", ".yaml")]
    return {".".join([name, *file.parent.relative_to(top).parts]) for file in files}


def test_every_folder_is_packaged():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == folders(ROOT / "src" / "rnnscope", "rnnscope") | folders(ROOT / "conf", "rnnscope.conf")


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
    assert all((site / "rnnscope" / "comparison" / f"page.{kind}").is_file() for kind in ("html", "css", "js"))
