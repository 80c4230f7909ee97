import pytest
from clean_texts import clean_text
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import user_error

from rnnscope.data import clean_text as text_module
from rnnscope.data import cleaning
from rnnscope.data.units import check_kind, units, units_of


def joined(found) -> list[str]:
    """Whole units, put together from those that go on in the next block."""
    whole, open_unit = [], None
    for some in found:
        for i, text in enumerate(some.texts):
            opens, closes = some.opens or i > 0, some.closes or i + 1 < len(some.texts)
            assert opens == (open_unit is None)
            open_unit = text if opens else open_unit + text
            if closes:
                whole.append(open_unit)
                open_unit = None
    assert open_unit is None
    return whole


def split(folder, documents: list[str], kind: str, block: int = 1 << 20) -> list[str]:
    text = clean_text(folder, documents)
    saved = text_module.BLOCK, text_module.cut_blocks
    text_module.BLOCK, text_module.cut_blocks = block, lambda texts: cleaning.cut_blocks(texts, block)
    try:
        return joined(units(text, 0, int(text.ends[-1]), kind, words=False))
    finally:
        text_module.BLOCK, text_module.cut_blocks = saved


LINES = st.lists(st.text(st.sampled_from("ab é.  \n\n\n"), min_size=1, max_size=40), min_size=1, max_size=4)


@given(LINES, st.sampled_from([3, 8, 1000]))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_lines_whatever_the_blocks(tmp_path_factory, documents, block):
    expected = [line for document in documents for line in document.removesuffix("\n").split("\n")]
    assert split(tmp_path_factory.mktemp("text"), documents, "line", block) == expected


@given(LINES, st.sampled_from([3, 8, 1000]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_documents_whatever_the_blocks(tmp_path_factory, documents, block):
    assert split(tmp_path_factory.mktemp("text"), documents, "document", block) == documents


def test_paragraphs():
    text = "\n\nOne\ntwo.\n\n \nThree.\n\n\n\nFour\n"
    assert joined(units_of(text, "paragraph")) == ["One\ntwo.", "Three.", "Four"]


def test_sentences():
    text = "Dr. Smith lives in Washington D.C. today. He said: no!\n\nA heading\n\n“Really?” she asked. Yes."
    assert joined(units_of(text, "sentence")) == [
        "Dr. Smith lives in Washington D.C. today.",
        "He said: no!",
        "A heading",
        "“Really?” she asked.",
        "Yes.",
    ]


def test_a_text_in_memory_is_one_document():
    assert joined(units_of("a\n\nb", "document")) == ["a\n\nb"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("word", "char", "stream"), ["dataset.start_end", "word", "null", "document", "paragraph", "line", "sentence"]),
        (
            ("line", "byte", "stream"),
            ["dataset.start_end", "line", "byte", "dataset.start_end=null", "dataset.level=char"],
        ),
        ((None, "char", "rows"), ["dataset.windows", "rows", "stream", "samples", "many_to_one"]),
        (
            (None, "char", "samples"),
            ["dataset.windows", "samples", "dataset.start_end", "document", "paragraph", "line", "sentence"],
        ),
    ],
)
def test_bad_kinds(arguments, parts):
    with user_error(*parts):
        check_kind(*arguments)
