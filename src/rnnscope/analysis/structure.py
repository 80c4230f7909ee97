"""Whether generated text follows the rules of its kind: brackets, quotes, indentation, Python, C, XML, LaTeX, ABC.

Each measure takes a text and returns a `Share`: how many of the places where a rule applies obey it; (0, 0) if there are
none. Real text does not reach 100 % either, since texts are cut anywhere: compare with real text of the same length.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from typing import NamedTuple

PAIRS = {")": "(", "]": "[", "}": "{", "”": "“", "»": "«"}
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
XML_TAG = re.compile(r"<(/?)([A-Za-z][\w:-]*)(?:\s[^<>]*?)?(/?)>")
LATEX = re.compile(r"\\(begin|end)\{(\w+\*?)\}")
PYTHON_BLOCK = re.compile(r"^(?:@|def |class |async def )")


class Share(NamedTuple):
    """The number of places that obey a rule, of all where it applies."""

    good: int
    total: int


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return [word.lower() for word in WORD.findall(text)]


def known_words(text: str, known: set[str]) -> Share:
    """How many words are `known`, that is, words of the training text."""
    found = words_of(text)
    return Share(sum(word in known for word in found), len(found))


def matched(marks: Iterable[tuple[str, bool]]) -> Share:
    """How many marks (kind, whether it opens) match: a closing mark belongs to the last open one of its kind."""
    open_marks: list[str] = []
    good = total = 0
    for kind, opens in marks:
        total += 1
        if opens:
            open_marks.append(kind)
        elif kind in open_marks:
            good += 2
            while open_marks.pop() != kind:
                pass
    return Share(good, total)


def brackets(text: str) -> Share:
    """How many brackets and directed quotation marks match."""
    return matched((PAIRS.get(mark) or mark, mark not in PAIRS) for mark in re.findall(r"[()\[\]{}“”«»]", text))


def quotes(text: str) -> Share:
    """How many paragraphs with straight double quotes have an even number of them."""
    counts = [count for part in re.split(r"\n\s*\n", text) if (count := part.count('"'))]
    return Share(sum(count % 2 == 0 for count in counts), len(counts))


def indentation(text: str) -> Share:
    """How many lines that begin with a closing brace are indented like the line with its opening brace."""
    opened: list[int] = []
    good = total = 0
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        begins = line.lstrip().startswith("}")
        total += begins
        for number, mark in enumerate(re.findall(r"[{}]", line)):
            if mark == "{":
                opened.append(indent)
            elif opened:
                expected = opened.pop()
                good += begins and not number and expected == indent
    return Share(good, total)


def python_blocks(text: str) -> list[str]:
    """Return the functions and classes at the top level, with decorators, without the last, which may be cut off."""
    lines, blocks, begin = text.splitlines(keepends=True), [], None
    for at, line in enumerate(lines):
        if not line[0].strip() or line[0] in "#)]}":  # not a statement at the top level
            continue
        if begin is not None and not all(part.startswith("@") for part in lines[begin:at] if part.strip()):
            blocks.append("".join(lines[begin:at]))
            begin = None
        if begin is None and PYTHON_BLOCK.match(line):
            begin = at
    return blocks


def parsed(block: str) -> ast.Module | None:
    """Return the syntax tree of Python code, or None if it does not parse."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(block)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def python(text: str) -> Share:
    """How many functions and classes parse."""
    trees = [parsed(block) for block in python_blocks(text)]
    return Share(sum(tree is not None for tree in trees), len(trees))


def python_names(text: str) -> Share:
    """How many names that parsed functions and classes read are defined there or built in; needs pyflakes.

    Modules that real code imports at its top count as undefined, since only the block itself is checked.
    """
    from pyflakes.checker import Checker
    from pyflakes.messages import UndefinedName

    trees = [tree for block in python_blocks(text) if (tree := parsed(block)) is not None]
    reads = sum(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) for tree in trees for node in ast.walk(tree))
    undefined = sum(isinstance(message, UndefinedName) for tree in trees for message in Checker(tree).messages)
    return Share(reads - undefined, reads)


def xml(text: str) -> Share:
    """How many tags match, without self-closing ones."""
    found = (tag.groups() for tag in XML_TAG.finditer(text))
    return matched((name, not closes) for closes, name, alone in found if not alone)


def latex(text: str) -> Share:
    r"""How many \begin and \end match."""
    return matched((name, which == "begin") for which, name in LATEX.findall(text))


C_TOKEN = re.compile(
    r"""/\*.*?\*/|//[^\n]*|^[ \t]*\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\d[\w.]*|\w+|->|\S""", re.S | re.M
)
C_KEYWORDS = {"if", "else", "for", "while", "do", "return", "goto", "case", "default", "break", "continue", "switch", "sizeof"}
C_DECLARATION = re.compile(r"(?:[A-Za-z_]\w* )+(?:\* )*([A-Za-z_]\w*)(?= [=,\[]|$)")
C_FURTHER = re.compile(r", (?:\* )*([A-Za-z_]\w*)(?= [=,\[]|$)")  # int i, *j
C_VARIABLE = re.compile(r"(?<![.>] )(?<!struct )\b(?=\w*[a-z])[A-Za-z_]\w*\b(?! [(:])")  # macros are in capitals


def c_functions(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the tokens of the parameters and of the body of each complete function."""
    tokens = [token for token in C_TOKEN.findall(text) if token[0] not in "/#\"'" or token == "/"]
    depth, begin, statement = 0, 0, 0
    for at, token in enumerate(tokens):
        depth = max(depth + (token == "{") - (token == "}"), 0)
        if token == "{" and depth == 1:
            begin = at
        if not depth and token in (";", "}"):
            head = tokens[statement:begin]
            if token == "}" and head[-1:] == [")"] and "(" in head:
                yield head[head.index("(") + 1 : -1], tokens[begin + 1 : at]
            statement = at + 1


def c_variables(parameters: list[str], body: list[str]) -> tuple[set[str], list[str]]:
    """Return the variables that a function declares, and all other mentions of variables."""
    declared = {names[-1] for part in " ".join(parameters).split(" , ") if (names := C_VARIABLE.findall(part))}
    mentioned: list[str] = []
    for statement in re.split(r" ?[;{}] ?", " ".join(body)):
        found = C_DECLARATION.match(statement)
        if found and not C_KEYWORDS.intersection(found[0].split()):
            flat = re.sub(r"\( [^()]*\)", "( )", statement[found.end() :])
            declared |= {found[1], *C_FURTHER.findall(flat)}
            statement = re.sub(C_FURTHER, "", statement[found.end() :])
        mentioned += [name for name in C_VARIABLE.findall(statement) if name not in C_KEYWORDS]
    return declared, mentioned


def c_declared(text: str) -> Share:
    """How many mentions of variables in C functions are of declared ones; globals count as undeclared."""
    found = [c_variables(*function) for function in c_functions(text)]
    good = sum(name in declared for declared, mentioned in found for name in mentioned)
    return Share(good, sum(len(mentioned) for _, mentioned in found))


def c_used(text: str) -> Share:
    """How many of the variables that C functions declare are mentioned again."""
    found = [c_variables(*function) for function in c_functions(text)]
    good = sum(len(declared.intersection(mentioned)) for declared, mentioned in found)
    return Share(good, sum(len(declared) for declared, _ in found))


ABC_NOTE = re.compile(r"\((\d)|(?:\[[^\]:|]*\]|[_^=]*[A-Ga-gzx][,']*)(\d*)(/*)(\d*)")


def abc(text: str) -> Share:
    """How many bars of ABC have the length of the last meter; the ends of lines, which may be short, do not count."""
    good = total = 0
    meter, unit = None, Fraction(1, 8)
    for line in text.splitlines():
        if field := re.match(r"([ML]):\s*(\d+)/(\d+)", line):
            size = Fraction(int(field[2]), max(int(field[3]), 1))
            meter, unit = (size, unit) if field[1] == "M" else (meter, size)
        elif meter is not None and not re.match(r"[A-Za-z]:|%|\s*$", line):
            plain = re.sub(r'"[^"]*"|![^!]*!|\{[^}]*\}', "", line)
            bars = [bar_length(bar) * unit for bar in re.split(r"[|:]+\]?|\[\d", plain)[1:-1] if bar.strip()]
            good, total = good + bars.count(meter), total + len(bars)
    return Share(good, total)


def bar_length(bar: str) -> Fraction:
    """Return the length of a bar in units; n notes after "(n" are played in the time of 2, or of 3 where n is 2, 4 or 8.

    The ABC standard 2.1, section 4.13; where the time depends on the meter (5, 7 and 9), that of a simple one.
    """
    length, left, scale = Fraction(0), 0, Fraction(1)
    for tuplet, over, slashes, under in ABC_NOTE.findall(bar):
        if tuplet:
            left = int(tuplet)
            scale = Fraction(3 if left in (2, 4, 8) else 2, max(left, 1))
            continue
        divisor = int(under) if under else 2 ** len(slashes)
        length += Fraction(int(over or 1), max(divisor, 1)) * (scale if left > 0 else 1)
        left -= 1
    return length


MEASURES: dict[str, Callable[[str], Share]] = {
    "brackets that match": brackets,
    "paragraphs whose quotes match": quotes,
    "closing braces indented as their line": indentation,
    "Python functions that parse": python,
    "C variables that are declared": c_declared,
    "C variables that are used": c_used,
    "XML tags that match": xml,
    r"LaTeX \begin and \end that match": latex,
    "ABC bars that sum to the meter": abc,
}
PYFLAKES = "Python names that are defined"


def measures() -> dict[str, Callable[[str], Share]]:
    """Return all measures by name; the one that needs pyflakes only if that is installed."""
    return {**MEASURES, **({PYFLAKES: python_names} if find_spec("pyflakes") else {})}


def measure(texts: list[str]) -> dict[str, Share]:
    """Return the result of each measure over separate texts."""
    return {name: total(find(text) for text in texts) for name, find in measures().items()}


def total(shares: Iterable[Share]) -> Share:
    """Return the sum of some shares."""
    found = list(shares)
    return Share(sum(share.good for share in found), sum(share.total for share in found))
