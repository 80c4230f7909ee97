from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnscope.data.characters import ByteDecoder, CharacterCodec, CharacterCounts, code_points

ANY = st.characters()  # lone surrogates too


@given(st.lists(st.text(ANY, max_size=20), max_size=6))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_counting_is_counting(texts):
    counts = CharacterCounts()
    for text in texts:
        counts.add([text, "x"])
    assert counts.counts() == Counter("".join(texts) + "x" * len(texts))


@given(st.text(ANY, max_size=50), st.lists(ANY, unique=True, max_size=300))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_the_table_is_a_dictionary(text, tokens):
    dtype = np.min_scalar_type(len(tokens) + 3)
    codec = CharacterCodec(tokens, 3, np.dtype(dtype))
    plain = {token: i + 3 for i, token in enumerate(tokens)}
    assert codec.ids(text).tolist() == [plain.get(character, 0) for character in text]
    assert codec.ids(text).dtype == dtype


def test_code_points_of_all_planes():
    assert code_points("a\ud800\U0010ffff").tolist() == [0x61, 0xD800, 0x10FFFF]


@given(st.binary(max_size=40))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_bytes_decode_one_at_a_time_as_all_at_once(data):
    decoder = ByteDecoder()
    assert "".join(map(decoder.feed, data)) + decoder.finish() == data.decode("utf-8", "replace")
