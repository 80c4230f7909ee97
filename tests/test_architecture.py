"""Who may import whom: the arrows of the layout, read from the sources, and what stays light when it is opened."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "rnnscope"
BOTTOM = {"errors", "allocator", "format", "paths", "cores", "lock", "text_io", "interrupts", "web_page"}
ARROWS = {  # part -> the parts below it, which it may import
    "errors": set(),
    "allocator": set(),
    "format": set(),
    "paths": set(),
    "cores": set(),
    "lock": set(),
    "interrupts": set(),
    "text_io": {"errors"},
    "web_page": {"format"},
    "data": BOTTOM,
    "model": BOTTOM,
    "training": {"model", "data"} | BOTTOM,
    "monitor": {"training", "model", "data"} | BOTTOM,
    "runs": {"training", "model", "data"} | BOTTOM,
    "config": {"runs", "monitor", "training", "model", "data"} | BOTTOM,
    "analysis": {"config", "runs", "training", "model", "data"} | BOTTOM,
    "comparison": {"config", "runs", "training", "model", "data"} | BOTTOM,
    "pipeline": {"config", "monitor", "runs", "training", "model", "data"} | BOTTOM,
    "bench": {"pipeline", "config", "monitor", "runs", "training", "model", "data"} | BOTTOM,
    "sweeps": {"pipeline", "comparison", "config", "monitor", "runs"} | BOTTOM,
    "__init__": {"pipeline", "comparison", "config", "runs", "training", "data"},
    "__main__": {"cli"},
}
ARROWS["commands"] = set(ARROWS) - {"__main__", "__init__"}
ARROWS["cli"] = {"commands", "config", "__init__"} | BOTTOM
HYDRA = {"commands", "cli", "config", "sweeps"}
LIGHTNING = {"pipeline", "bench", "monitor", "training", "data"}
PARTS = sorted(path.stem for path in SOURCES.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())


def imports(path: Path, types: bool = True) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, inside functions too; with `types` also for annotations."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(part: str) -> list[Path]:
    single = SOURCES / f"{part}.py"
    return [single] if single.is_file() else sorted((SOURCES / part).rglob("*.py"))


def own_parts(path: Path) -> set[str]:
    """Return the parts of rnnscope that a file imports."""
    names = [name.split(".") for name in imports(path) if name.split(".")[0] == "rnnscope"]
    return {name[1] if name[1] in PARTS else "__init__" for name in names}


def test_every_part_is_known():
    assert set(PARTS) == set(ARROWS)


@pytest.mark.parametrize("part", PARTS)
def test_arrows(part):
    for path in files(part):
        assert not own_parts(path) - ARROWS[part] - {part}, path


def modules() -> dict[str, set[str]]:
    """Return which modules of rnnscope each of them imports when it runs."""
    names = {path: ".".join(path.relative_to(SOURCES).with_suffix("").parts) for path in SOURCES.rglob("*.py")}
    known = set(names.values())
    found = {}
    for path, name in names.items():
        targets = {target.removeprefix("rnnscope.") for target in imports(path, types=False) if target.startswith("rnnscope.")}
        found[name] = {module for target in targets for module in (target, target.rpartition(".")[0]) if module in known}
    return found


def circles() -> set[frozenset[str]]:
    """Return the sets of modules that import each other, directly or through others."""
    graph = modules()

    def reached(start: str) -> set[str]:
        found, todo = set(), list(graph[start])
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += graph[name]
        return found

    reach = {name: reached(name) for name in graph}
    return {frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]}


def test_no_circles():
    assert not circles()


@pytest.mark.parametrize("part", [part for part in PARTS if part not in HYDRA])
def test_hydra_stays_out(part):
    for path in files(part):
        found = {name.split(".")[0] for name in imports(path)} & {"hydra", "omegaconf"}
        assert not found, path


@pytest.mark.parametrize("part", [part for part in PARTS if part not in LIGHTNING])
def test_lightning_stays_out(part):
    for path in files(part):
        found = {name.split(".")[0] for name in imports(path)}
        assert not found & {"pytorch_lightning", "lightning", "lightning_fabric", "tensorboard"}, path


def test_lightning_in_data_is_for_the_module_only():
    using = [path.name for path in files("data") if any(name.startswith("pytorch_lightning") for name in imports(path))]
    assert using == ["module.py"]


def test_this_test_sees_imports(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "def f():\n    import hydra.core\n    from rnnscope.data.batches import cut\n    from rnnscope import load\n"
    )
    assert list(imports(path)) == ["hydra.core", "rnnscope.data.batches.cut", "rnnscope.load"]
    assert own_parts(path) == {"data", "__init__"}


def modules_after(code: str) -> set[str]:
    """Return the packages that a fresh Python has loaded after `code`."""
    words = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_opening_a_run_is_light():
    assert not modules_after("import rnnscope.runs.load") & {"pytorch_lightning", "tensorboard", "hydra", "omegaconf"}


def test_the_command_line_is_light():
    assert not modules_after("import rnnscope.cli") & {"torch", "hydra", "omegaconf", "numpy"}
    assert "numpy" not in modules_after("import rnnscope")


def test_schemas_are_light():
    assert not modules_after("import rnnscope.config.compose, rnnscope.config.hydra_errors") & {"torch", "numpy"}
