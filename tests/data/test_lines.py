import time

from hypothesis import given, settings
from hypothesis import strategies as st

from rnnscope.data.lines import split_lines


@given(st.lists(st.text(st.sampled_from("ab\n"), max_size=6), max_size=9))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_lines_whatever_the_blocks(blocks):
    assert list(split_lines(blocks)) == "".join(blocks).splitlines(keepends=True)


def test_a_line_as_long_as_the_text_is_joined_once():
    block = "x" * 1000
    begin = time.process_time()
    assert len(next(split_lines(block for _ in range(100_000)))) == 100_000_000
    assert time.process_time() - begin < 20  # joined block by block it would be a thousand seconds
