"""Where a text is cut into train, val and test."""

from collections.abc import Mapping
from itertools import accumulate, chain, pairwise
from pathlib import Path

import numpy as np

from rnnscope.data.clean_text import CleanText, rearranged
from rnnscope.data.config import SplitConfig
from rnnscope.data.corpus import SPLITS
from rnnscope.errors import UserError
from rnnscope.format import plural

Ranges = dict[str, tuple[int, int]]  # split -> first byte, byte after the last


def check_split(split: Mapping[str, float | None]) -> bool:
    """Whether `split` is in bytes (True) or fractions (False). Raises `UserError` if it is neither.

    Each of train, val and test is a fraction (<= 1), a number of bytes (> 1) or None for the rest.
    """
    given = {name: split.get(name) for name in SPLITS}
    numbers = [value for value in given.values() if value is not None]
    shown = ", ".join(f"{name}: {value}" for name, value in given.items())
    in_bytes = any(value > 1 for value in numbers)
    if any(not value >= 0 for value in numbers) or (in_bytes and any(0 < value <= 1 for value in numbers)):
        raise UserError(f"dataset.split={{{shown}}}: give fractions from 0 to 1, or numbers of bytes and null for the rest")
    rests = len(given) - len(numbers)
    if rests > 1 or (in_bytes and rests != 1) or (not in_bytes and _wrong_sum(sum(numbers), rests)):
        raise UserError(f"dataset.split={{{shown}}}: fractions must add up to 1; with byte counts, one must be null (the rest)")
    return in_bytes


def _wrong_sum(total: float, rests: int) -> bool:
    return total > 1 + 1e-9 or (not rests and total < 1 - 1e-9)


def divide(text: CleanText, split: Mapping[str, float | None], *, divided: bool, lines: bool) -> Ranges:
    """Return the byte range of each split.

    Splits with their own files (`divided` False) keep them. Otherwise the text is cut in the order train, val, test:
    several documents at the nearest end of a document, a single one at the exact character, or with `lines` at the next
    line end, if any. Raises `UserError` for a split that should have text and gets none.
    """
    if divided:
        wanted = _wanted(text, split)
        several = len(text.ends) > 1
        train_end, val_end = _between_documents(text, *wanted) if several else _inside(text, *wanted, lines=lines)
        ranges = {"train": (0, train_end), "val": (train_end, val_end), "test": (val_end, int(text.ends[-1]))}
        expected = [name for name in SPLITS if split.get(name) != 0]
    else:
        ranges, expected = _labeled(text), [name for name in SPLITS if name in text.labeled]
    for name in expected:
        if ranges[name][0] >= ranges[name][1] and not divided:
            key = "path" if name == "train" else f"{name}_path"
            raise UserError(f"dataset.corpus.{key} has no text, so the {name} split has no token: give a different text")
        if ranges[name][0] >= ranges[name][1]:
            raise UserError(
                f"the {name} split has no token: the text has {plural(text.characters, 'character')} in "
                f"{plural(len(text.ends), 'document')}: change dataset.split or give a longer text"
            )
    return ranges


def divide_columns(text: CleanText, split: SplitConfig, path: Path) -> tuple[CleanText, Ranges]:
    """Return the text in another order, in `path`, and the byte range of each split: first the train part of every column.

        text    | train  val | train  val | train  val |      becomes      | train train train | val val val |

    Columns are `split.columns` equal parts, the longer ones first, each divided into the same shares: `StreamWindows` with
    as many columns then cuts where the text was cut here. Raises `UserError` for a split in bytes, and if a part would be
    empty.
    """
    columns, shown = split.columns or 1, f"dataset.split.columns={split.columns}"
    if check_split(vars(split)):
        raise UserError(f"{shown}: give train, val and test as fractions")
    short, longer = divmod(text.characters, columns)
    given = [getattr(split, name) for name in SPLITS]
    shares = [1 - sum(filter(None, given)) if share is None else share for share in given]
    ends = [round(sum(shares[:count]), 9) for count in (1, 2)]
    sizes = np.diff([0, *(int(end * short) for end in ends), short])  # in some columns, the last one is one longer
    if any(size < 1 for size, share in zip(sizes, shares, strict=True) if share > 1e-9):
        raise UserError(f"{shown}: with {short} characters per column, a split would be empty: use fewer columns")
    starts = [at * short + min(at, longer) for at in range(columns + 1)]
    cuts = [[start, *(start + int(at * short) if at < 1 else end for at in ends), end] for start, end in pairwise(starts)]
    places = [[text.byte_of_character(cut) for cut in column] for column in cuts]
    spans = [[(column[part], column[part + 1]) for column in places] for part in range(len(SPLITS))]
    found = rearranged(text, (span for span in chain(*spans) if span[0] < span[1]), path)
    edges = accumulate((sum(end - start for start, end in part) for part in spans), initial=0)
    return found, dict(zip(SPLITS, ((int(start), int(end)) for start, end in pairwise(edges)), strict=True))


def _wanted(text: CleanText, split: Mapping[str, float | None]) -> tuple[int, int, bool]:
    """Return the two cuts that `split` asks for, in bytes (True) or characters (False) from the start."""
    in_bytes = check_split(split)
    total = int(text.ends[-1]) if in_bytes else text.characters
    known = sum(split.get(name) or 0.0 for name in SPLITS)
    whole = total if in_bytes else 1.0
    rest = max(whole - known, 0.0)
    train, val = (rest if (share := split.get(name)) is None else share for name in ("train", "val"))
    scale = 1 if in_bytes else total
    cuts = (int(round(end, 9) * scale) for end in (train, train + val))  # 0.9 + 0.05 is 0.95 here
    first, second = (min(cut, total) for cut in cuts)
    return first, second, in_bytes


def _between_documents(text: CleanText, first: int, second: int, in_bytes: bool) -> tuple[int, int]:
    """Return the ends of documents nearest to the two cuts, with a document on each side of a cut inside the text."""
    count = len(text.ends)
    total = int(text.ends[-1]) if in_bytes else text.characters
    three = first < second < total and count > 2  # then two documents are left for val and test
    train = _nearest(text, first, in_bytes, 1, count - 1 - three) if 0 < first < total else count * (first >= total)
    left = train + 1 if first < second else train
    val = _nearest(text, second, in_bytes, min(left, count - 1), count - 1) if second < total else count
    val = max(val, train)
    return _byte_end(text, train), _byte_end(text, val)


def _nearest(text: CleanText, wanted: int, in_bytes: bool, low: int, high: int) -> int:
    """Return the number of documents, from `low` to `high`, that comes nearest to `wanted` bytes or characters."""

    def distance(documents: int) -> int:
        end = _byte_end(text, documents)
        return abs((end if in_bytes else text.count(0, end)) - wanted)

    below = int(np.searchsorted(text.ends, wanted if in_bytes else text.byte_of_character(wanted)))
    return min((min(max(documents, low), high) for documents in (below, below + 1)), key=distance)


def _byte_end(text: CleanText, documents: int) -> int:
    return int(text.ends[documents - 1]) if documents else 0


def _inside(text: CleanText, first: int, second: int, in_bytes: bool, *, lines: bool) -> tuple[int, int]:
    total = int(text.ends[-1])
    positions = [_character_start(text, cut) if in_bytes else text.byte_of_character(cut) for cut in (first, second)]
    if lines:
        line_ends = [text.after_line(position) for position in positions]
        positions = [position if end == total else end for position, end in zip(positions, line_ends, strict=True)]
    return positions[0], positions[1]


def _character_start(text: CleanText, position: int) -> int:
    """Return `position`, or the start of the character that it would cut."""
    with text.path.open("rb") as file:
        file.seek(max(position - 3, 0))
        before = file.read(min(position, 3) + 1)
    back = min(position, 3)
    while back < len(before) and back > 0 and before[back] & 0xC0 == 0x80:
        back, position = back - 1, position - 1
    return position


def _labeled(text: CleanText) -> Ranges:
    ends = [_byte_end(text, documents) for documents in accumulate(text.labeled.get(split, 0) for split in SPLITS)]
    return dict(zip(SPLITS, pairwise([0, *ends]), strict=True))
