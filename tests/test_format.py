"""Text for people and for programs."""

import json
import math

from rnnscope.format import json_text


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def test_json_has_null_for_numbers_that_it_cannot_write():
    values = {"loss": math.nan, "all": [1.5, math.inf, {"least": -math.inf}, ("NaN", None)], "steps": 3}
    read = json.loads(json_text(values, indent=1), parse_constant=refuse)
    assert read == {"loss": None, "all": [1.5, None, {"least": None}, ["NaN", None]], "steps": 3}
