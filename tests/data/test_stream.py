import hashlib
from collections import Counter

import pytest
from clean_texts import clean_text

from rnnscope.data import cleaning
from rnnscope.data.config import DatasetConfig
from rnnscope.data.stream import SplitInfo, encode_split, encode_text, open_stream
from rnnscope.data.vocabulary import Vocabulary, token_counts

VOCABULARY = Vocabulary.build(Counter("aab\n"), DatasetConfig(level="char"))  # a 3, line feed 4, b 5


def encoded(folder, content: str, kind=None, vocabulary=VOCABULARY, span=None) -> tuple[list[int], SplitInfo]:
    text = clean_text(folder, [content])
    info = encode_split(text, *(span or (0, len(content.encode()))), kind, vocabulary, folder / "train.ids")
    stream = open_stream(folder / "train.ids", info, vocabulary.dtype)
    assert info.sha256 == hashlib.sha256((folder / "train.ids").read_bytes()).hexdigest()
    return stream.tolist(), info


def test_start_and_then_the_ids(tmp_path):
    ids, info = encoded(tmp_path, "ab\nz")
    assert ids == [1, 3, 5, 4, 0]
    assert (info.tokens, info.characters, info.unknown, info.ids, info.units) == (4, 4, 1, 5, 1)


def test_bytes_begin_with_a_line_feed(tmp_path):
    ids, info = encoded(tmp_path, "é", vocabulary=Vocabulary.build({}, DatasetConfig(level="byte")))
    assert ids == [10, 0xC3, 0xA9]
    assert (info.tokens, info.characters, info.unknown) == (2, 1, 0)


def test_lines_between_start_and_end(tmp_path):
    ids, info = encoded(tmp_path, "ab\n\nb\n", kind="line")
    assert ids == [1, 3, 5, 2, 1, 2, 1, 5, 2]
    assert (info.tokens, info.characters, info.units) == (6, 6, 3)  # START is given, END stands for the line feed


def test_a_part_of_the_text(tmp_path):
    assert encoded(tmp_path, "ab\nb", span=(1, 3))[0] == [1, 5, 4]


@pytest.mark.parametrize("kind", [None, "line", "document"])
def test_an_empty_split(tmp_path, kind):
    ids, info = encoded(tmp_path, "ab", kind=kind, span=(2, 2))
    assert ids == []
    assert (info.tokens, info.ids) == (0, 0)


@pytest.mark.parametrize("size", [255, 256, 257, 70_000])
def test_ids_take_the_fewest_bytes(tmp_path, size):
    characters = [chr(0x100 + i) for i in range(size - 3)]
    vocabulary = Vocabulary("char", ["<unk>", "<s>", "</s>", *characters])
    content = characters[0] + characters[-1]
    ids, _ = encoded(tmp_path, content, vocabulary=vocabulary)
    assert ids == [1, 3, size - 1]
    width = 1 if size <= 256 else 2 if size <= 65_536 else 4
    assert (tmp_path / "train.ids").stat().st_size == 3 * width


@pytest.mark.parametrize("kind", [None, "line", "document", "paragraph"])
def test_a_text_in_memory_is_encoded_as_a_split_is(tmp_path, kind):
    content = "ab\n\n" * 50 + "a"
    ids, _ = encoded(tmp_path, content, kind=kind)
    assert encode_text(VOCABULARY, content, kind).tolist() == ids


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_the_blocks_of_a_long_text_do_not_show(tmp_path, level):
    content = "some café words\n  and (some) more of them, then 1.5 more\n\n" * 40_000  # several blocks
    tally = token_counts(level)
    tally.add([content])
    vocabulary = Vocabulary.build(tally.counts(), DatasetConfig(level=level))
    ids, info = encoded(tmp_path, content, vocabulary=vocabulary)
    assert ids == encode_text(vocabulary, content).tolist()
    assert info.unknown == 0


def test_the_map_cannot_be_written_to(tmp_path):
    encoded(tmp_path, "ab")
    info = SplitInfo(2, 2, 0, 3, 1, "")
    with pytest.raises(ValueError, match="read-only"):
        open_stream(tmp_path / "train.ids", info, VOCABULARY.dtype)[0] = 1


@pytest.mark.parametrize("kind", [None, "document", "line"])
@pytest.mark.parametrize("level", ["char", "word", "byte"])
def test_a_long_text_in_memory_is_encoded_block_by_block(tmp_path, monkeypatch, level, kind):
    """Blocks of a few characters give the ids of the text in a file, which is one block."""
    if level == "byte" and kind:
        pytest.skip("bytes have no START and END")
    content = "Odysseus, ὈΔΥΣΣΕΎΣ, came\nhome  at last.\n" * 20
    config = DatasetConfig(level=level, lower_case=True)
    counts = token_counts(level)
    counts.add([content.lower()])
    vocabulary, longest = Vocabulary.build(counts.counts(), config), []
    expected = encoded(tmp_path, content, kind, vocabulary)[0]
    monkeypatch.setattr(cleaning, "BLOCK", 50)
    monkeypatch.setattr(cleaning.cut_blocks, "__defaults__", (50,))
    encode = vocabulary._codec.batch, vocabulary._codec.ids
    vocabulary._codec.batch = lambda texts: longest.extend(map(len, texts)) or encode[0](texts)
    vocabulary._codec.ids = lambda text: longest.append(len(text)) or encode[1](text)
    assert encode_text(vocabulary, content, kind).tolist() == expected
    assert max(longest) < 200
