"""What holds at each character of a text, against marks written out by hand."""

import numpy as np
import pytest

from rnnscope.analysis.detectors import GRADED, detect


def drawn(name: str, text: str) -> str:
    """Return a detector's values as a line of digits below the text; `.` is where it does not apply."""
    return "".join("." if np.isnan(value) else f"{int(value)}" for value in detect(text)[name])


@pytest.mark.parametrize(
    ("name", "text", "marks"),
    [
        ("inside quotes", 'a "bc" d “e”', "001110000110"),
        ("inside quotes", 'a "b\n\nc" d', "0000000000"),  # the paragraph ends first
        ("inside brackets", "f(a[0], b) ]", "011111111000"),
        ("bracket depth", "((a)(b", "011000"),  # of brackets that are closed
        ("bracket depth", "x{(a)}y", "0122100"),
        ("URL", "http://a.b c", "111111111000"),
        ("comment", "a /* b */ c", "00111111000"),
        ("comment", "a = 1  # b\nc", "000000011100"),
        ("comment", "http://a // b\n", "00000000011110"),
        ("string", "s = 'a # b' don't", "00001111110000000"),
        ("tag", "a <b>c</b>", "0011001110"),
        ("if body", "if (a) {b;} c;", "00000001110000"),
        ("if body", "if (a)\n b;\nc;", "0000000010000"),
        ("if body", "if a:\n  b\n  c\nd", "000000111111100"),
        ("sentence start", "Aa. Bb", "100110"),
        ("newline within 3", "abcd\ne", "011100"),
        ("indentation", "a\n  b\nc", "0012200"),
        ("position in line", "ab\ncd", "01012"),
        ("run of one character", "aab---", "010012"),
        ("position in word", "ab 1c", "01..0"),
        ("word start", "ab 1c", "10001"),
        ("upper case", "aB É", "0101"),
        ("digits", "a12", "011"),
    ],
)
def test_marks(name, text, marks):
    assert f"{text!r} {drawn(name, text)}" == f"{text!r} {marks}"


def test_position_inside_the_innermost():
    found = detect('"abc" (d(e))')
    assert found["position inside quotes"][:5] == pytest.approx([0, 0.25, 0.5, 0.75, np.nan], nan_ok=True)
    assert found["position inside brackets"][6:] == pytest.approx([0, 0.2, 0, 0.5, 0.8, np.nan], nan_ok=True)


def test_every_detector_has_a_value_for_every_character():
    for text in ("", "\n", "((((", '"', "if x:", "漢字（。）🙂\u202e\x00"):
        for name, values in detect(text).items():
            assert values.shape == (len(text),), name
            assert name in GRADED or set(values) <= {0, 1}
