"""docs/extending.md to the letter: each section is applied to a copy of the source, and its commands run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import TINY

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in re.split(r"^## ", PAGE, flags=re.M)[1:])
INSTRUCTION = re.compile(
    r"^Create `(?P<new>[^`]+)`:\n\n```\w+\n(?P<text>.*?)```$"
    r"|^In `(?P<file>[^`]+)`, below `(?P<anchor>[^`]+)`(?P<after>, after its body)?:\n\n```\w+\n(?P<added>.*?)```$"
    r"|^In `(?P<changed>[^`]+)`, replace `(?P<old>[^`]+)` with `(?P<by>[^`]+)`\.$"
    r"|^```console\n(?P<commands>.*?)```$",
    re.M | re.S,
)


def end_of(lines: list[str], anchor: str, after: bool) -> int:
    """Return the line after the first with `anchor`, or after the indented lines that follow it."""
    end = next(number for number, line in enumerate(lines) if anchor in line) + 1
    while after and end < len(lines) and (lines[end].startswith(" ") or (not lines[end].strip() and is_body(lines, end))):
        end += 1
    return end


def is_body(lines: list[str], end: int) -> bool:
    """Whether a blank line is within a body: the next one is indented."""
    return end + 1 < len(lines) and lines[end + 1].startswith(" ")


def follow(step: re.Match[str], copy: Path) -> None:
    """Do what one instruction says about a file."""
    if step["new"]:
        path = copy / step["new"]
        assert not path.exists()
        path.write_text(step["text"], encoding="utf-8")
        return
    path = copy / (step["file"] or step["changed"])
    text = path.read_text(encoding="utf-8")
    if step["changed"]:
        assert text.count(step["old"]) == 1, step["old"]
        path.write_text(text.replace(step["old"], step["by"]), encoding="utf-8")
        return
    lines = text.splitlines(keepends=True)
    lines.insert(end_of(lines, step["anchor"], bool(step["after"])), step["added"])
    path.write_text("".join(lines), encoding="utf-8")


def run(command: str, copy: Path, story: Path) -> str:
    """Run a command of the page with the copy's source; a training is a short one."""
    program, *words = command.split()
    assert program == "rnnscope"
    if words[0] == "train":
        words += [word for word in TINY if word.partition("=")[0] not in command]
        words += [] if "dataset=" in command else [f"text={story}"]
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "RNNSCOPE_OUTPUTS": str(copy / "outputs")}
    code = "import sys; from rnnscope.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment, cwd=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copied(into: Path) -> Path:
    for folder in ("src", "conf"):
        shutil.copytree(ROOT / folder, into / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", into)
    return into


def apply(section: str, copy: Path, story: Path, running: bool) -> str:
    """Follow a section, with its commands if `running`; return what the last of them printed. The code must be clean."""
    steps = list(INSTRUCTION.finditer(SECTIONS[section]))
    assert len(steps) == SECTIONS[section].count("```") // 2 + SECTIONS[section].count(", replace `")
    printed = ""
    for step in steps:
        if step["commands"] is None:
            follow(step, copy)
            continue
        for command in step["commands"].splitlines() if running else []:
            printed = run(command.removeprefix("$ "), copy, story)
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, "--quiet", "src"], check=True, cwd=copy)
    return printed


def test_the_sections_fit_the_source_side_by_side(tmp_path: Path, story: Path) -> None:
    """Their commands run in tests/slow/; here those of one."""
    copy = copied(tmp_path)
    for section in SECTIONS:
        apply(section, copy, story, section == "A cell")
