"""Each measure on a text whose answer is known."""

import pytest

from rnnscope.analysis import structure
from rnnscope.analysis.structure import Share, bar_length, c_functions, measure, python_blocks

CODE = """\
import os

@cache
def good(x):
    return os.path(x, [y for y in x])

def bad(x:
    return x

class Also:
    y = 1
x = 2
def cut(x):
    return (x
"""
C = """\
/* int comment; */
static int add(int *a, struct page *b)
{
\tint i, *j = a;
\tunsigned long unused = 0;
\tfor (i = 0; i < MAX; i++)
\t\tb->count += missing + *j;
\treturn strlen("text here") + i;
}
struct page { int count; };
int cut(int a) {
\treturn a;
"""


@pytest.mark.parametrize(
    ("name", "text", "share"),
    [
        ("brackets", "(a [b] {c)", (4, 5)),  # the brace that ( ) surrounds is never closed
        ("brackets", ")( “x”", (2, 4)),
        ("quotes", 'a "b" c\n\nd "e\nf\n\n"g" "\n\nh', (1, 3)),
        ("indentation", "if {\n\tx {\n\t}\n}\nif {\n\tx\n\t}\n}", (2, 4)),
        ("python", CODE, (2, 3)),
        ("c_declared", C, (7, 8)),  # a, i i i, b, j, i, but not missing
        ("c_used", C, (4, 5)),
        ("abc", "a|b|c|d", (0, 0)),
        ("xml", "#include <linux/a.h>\n<stdio.h>", (0, 0)),
        ("xml", "<a><b x='1'>t</b><br/><c></a></d>", (4, 6)),
        ("latex", r"\begin{a}\begin{proof}\end{proof}\end{b}", (2, 4)),
        ("abc", "X:1\nM:3/4\nL:1/4\nK:G\nA|B2c|[ce]z|(3ABc B/c/ ^d|A>BG|", (2, 4)),
        ("known_words", "The CAT's xx", (2, 3)),
        ("brackets", "", (0, 0)),
    ],
)
def test_known_answers(name, text, share):
    arguments = [{"the", "cat's"}] if name == "known_words" else []
    assert getattr(structure, name)(text, *arguments) == Share(*share)


def test_blocks_of_python_are_whole():
    assert [block.splitlines()[0] for block in python_blocks(CODE)] == ["@cache", "def bad(x:", "class Also:"]


def test_functions_of_c_are_whole():
    assert [len(parameters) for parameters, _ in c_functions(C)] == [8]


def test_tuplets_and_fractions():
    assert bar_length("(3ABc d3/2 e/ f// g2") == 2 + 1.5 + 0.5 + 0.25 + 2
    assert [bar_length(f"({n}{'a' * n}") for n in (2, 3, 4, 6, 8)] == [3, 2, 3, 2, 3]  # the table of the ABC standard


def test_undefined_names_are_those_of_pyflakes():
    pytest.importorskip("pyflakes")
    assert structure.python_names("def f(x):\n    return len(x) + y\nz\n") == Share(2, 3)


def test_texts_are_apart():
    assert measure(["(", ")"])["brackets that match"] == (0, 2)
    assert measure(["()", ")"])["brackets that match"] == (2, 3)
