"""An installed rnnscope finds its configs: a wheel is built, opened in an empty folder, and composes."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


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
    for example in ("shakespeare", "penn"):
        assert (site / "rnnscope" / "examples" / example / "model.safetensors").is_file()
    assert all((site / "rnnscope" / "comparison" / f"page.{kind}").is_file() for kind in ("html", "css", "js"))
