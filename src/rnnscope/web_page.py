"""The frame of every page: one HTML file that needs no network and runs only our own script.

The content of runs and texts is untrusted: it reaches the page as escaped text, or as JSON in which no tag can begin, and a
Content-Security-Policy lets the browser run only our script, which it recognizes by its hash.
"""

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnscope.format import one_line

HERE = Path(__file__).parent
POINTS = 400  # of a line in a chart


def web_page(template: Path, parts: dict[str, str]) -> str:
    """Return the page whose body is `template`, with a style (.css) and a script (.js) of the same name beside it.

    Args:
        parts: the text for each `{{name}}` in it, which is not escaped here.
    """
    style, script = (_read(HERE / f"web_page{kind}") + _read(template.with_suffix(kind)) for kind in (".css", ".js"))
    parts = {"policy": policy(style, script), "style": style, "script": script, **parts}
    whole = _read(HERE / "web_page.html").replace("{{body}}", _read(template))
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], whole)
    return text.encode("utf-8", "replace").decode()


def _read(path: Path) -> str:
    return path.read_text("utf-8")


def policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows this script and this style, and loads nothing."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    inline = f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:"
    return f"default-src 'none'; {inline}; base-uri 'none'; form-action 'none'"


def script_json(values: Any) -> str:
    """Return JSON for a script element: nothing in it can end the element or a line of JavaScript."""
    marks = {mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
    return json.dumps(values, separators=(",", ":")).translate(str.maketrans(marks))


def escaped(text: str) -> str:
    """Return text on one line, escaped so that a browser shows it as it is."""
    return html.escape(one_line(text))


def chart_line(name: str, look: str, xs: Sequence[float], ys: Sequence[float]) -> dict[str, Any]:
    """Return a line for lineChart, with at most about `POINTS` points; points that are not finite are left out."""
    points = [(x, float(f"{y:.4g}")) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
    points = [*points[:: -(-len(points) // POINTS)], points[-1]] if len(points) > POINTS else points
    return {"name": name, "look": look, "xs": [x for x, _ in points], "ys": [y for _, y in points]}
