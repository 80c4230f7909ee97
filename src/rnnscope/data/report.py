"""The report on a text at the start of a run, and its warnings."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from rnnscope.data.clean_text import CleanText
from rnnscope.data.stream import SplitInfo
from rnnscope.data.vocabulary import SPECIALS, UNK, Vocabulary
from rnnscope.format import plural

MANY_CHARACTERS = 5000  # Chinese and Japanese texts have up to about this many distinct ones
MANY_WORDS = 50_000  # of a vocabulary: from here on, the head takes most of the time and memory of a step
FEW_SPACES = 0.02  # spaces per character; English has 0.18
FEW_TOKENS = 100  # of val or test: below, the standard error of the loss is more than a tenth of it
LONG_WORDS = 12  # characters per word; English has 5
SHOWN = 60  # characters of the example
CHANGE = re.compile(r"(.+) (left out|kept|stripped|cut|changed|replaced|not followed)( (?:to|by) .+)?")  # noun, verb, how
PLURAL = re.compile(r"(?<=match)es\b|(?<=\w)s\b")
LONG = 40  # characters of a token that are shown: in a text without spaces, a word can be very long


def text_lines(text: CleanText, characters: int | None, counts: Counter[str] | None, level: str, words: str) -> list[str]:
    """Return the size of the text and, if they were counted, how many distinct `characters` and tokens train has."""
    line = f"text: {plural(text.files, 'file')}, {plural(len(text.ends), 'document')}, {text.characters:,} characters"
    if characters is None:
        return [line]
    line += f"; {plural(characters, 'distinct character')}"
    line += f", {plural(len(counts), 'distinct word')} in train" if level == "word" and counts else " in train"
    lines = [line]
    if counts and level == "char" and len(counts) > MANY_CHARACTERS:
        lines.append(
            f"warning: {len(counts):,} distinct characters: if this is not Chinese or Japanese, the encoding is wrong "
            "(dataset.encoding); dataset.vocabulary_size or dataset.level=byte limits the size of the model"
        )
    if counts and level == "word" and _hardly_any_spaces(counts, words):
        lines.append("warning: the text has hardly any spaces to tell words apart: try dataset.level=char")
    return lines


def _hardly_any_spaces(counts: Counter[str], words: str) -> bool:
    characters = sum(len(word) * count for word, count in counts.items())
    if words != "lossless":  # the spaces are gone, but the words are very long
        return characters > LONG_WORDS * counts.total()
    return sum(word.count(" ") * count for word, count in counts.items()) < FEW_SPACES * characters


def vocabulary_lines(vocabulary: Vocabulary, counts: Counter[str] | None, cap: int | None, minimum_count: int) -> list[str]:
    """Return the size of the vocabulary, and which tokens it leaves out."""
    if vocabulary.level == "byte":
        return ["vocabulary: the 256 bytes of UTF-8"]
    if counts is None:
        return [f"vocabulary: {len(vocabulary):,} tokens, frozen (level {vocabulary.level})"]
    limits = f"at most {cap:,} tokens" if cap else "no limit"
    limits += f", each at least {minimum_count} times" if minimum_count > 1 else ""
    rarest = vocabulary.tokens[-1]
    lines = [
        f"vocabulary: {len(vocabulary):,} tokens (level {vocabulary.level}, {limits}); "
        f"the rarest is {_quoted(rarest)}, {plural(counts[rarest], 'time')}"
    ]
    if missing := _missing(counts, vocabulary):
        noun = "rare word" if vocabulary.level == "word" else "rare character"
        lines.append(_become_unk(plural(len(missing), noun), missing, vocabulary))
    if vocabulary.level == "word" and len(vocabulary) > MANY_WORDS:
        lines.append(
            f"warning: {len(vocabulary):,} words make every step slow and large, and most are too rare to be learned: "
            "try dataset.vocabulary_size=10000"
        )
    return lines


def split_line(split: str, info: SplitInfo) -> str:
    """Return the tokens, characters and share of unknown tokens of a split."""
    share = 100 * info.unknown / max(info.tokens, 1)
    size = f"{plural(info.tokens, 'token')}, {plural(info.characters, 'character')}"
    return f"{split}: {size}, {info.unknown:,} unknown ({share:.3g} %)"


def few_tokens_line(split: str, tokens: int) -> str:
    """Return the warning about a split that is too small to measure a loss on."""
    return f"warning: {split} has only {plural(tokens, 'token')}, too few to tell how good a loss is: give it more text"


def unseen_lines(split: str, counts: Counter[str], vocabulary: Vocabulary) -> Iterator[str]:
    """Yield which characters of a split the vocabulary lacks. `counts`: of each character in the split."""
    if missing := _missing(counts, vocabulary):
        yield f"{split}: " + _become_unk(f"{plural(len(missing), 'character')} outside the vocabulary", missing, vocabulary)


def _missing(counts: Counter[str], vocabulary: Vocabulary) -> list[tuple[str, int]]:
    """Return the tokens that a vocabulary lacks, the most frequent first, each with its count."""
    unk = vocabulary.tokens[UNK]
    known = {*vocabulary.tokens[SPECIALS:], *((unk, f" {unk}") if vocabulary.unk_in_text else ())}
    return [(token, count) for token, count in counts.most_common() if token not in known]


def _become_unk(what: str, missing: list[tuple[str, int]], vocabulary: Vocabulary) -> str:
    become = "becomes" if len(missing) == 1 else "become"
    return f"{what} {become} {vocabulary.tokens[UNK]}, most often {_listed(missing)}"


def _listed(counts: list[tuple[str, int]]) -> str:
    return ", ".join(f"{_quoted(token)} {count:,}" for token, count in counts[:8])


def _quoted(token: str) -> str:
    return repr(token if len(token) <= LONG else f"{token[:LONG]}...")


def samples_line(samples: int, padding: float, long: int) -> str:
    """Return how the samples of train fill their windows. `long`: how many are longer than sequence_length."""
    padded = f"{100 * padding:.1f} % padding"
    return f"samples: {samples:,} in train, {padded}; {long:,} are longer than sequence_length and take several windows"


def many_to_one_line(targets: int, length: int, step: int) -> str:
    """Return how many tokens of train are targets."""
    return f"windows: {targets:,} of {length} tokens in train, one every {plural(step, 'token')}, each with one target"


def example_line(text: str, vocabulary: Vocabulary) -> str:
    """Return the beginning of a text before and after encoding."""
    shown = text[:SHOWN]
    ids = ", ".join(str(id) for id in vocabulary.encode(shown)[:12])
    return f"example: {shown!r} -> {ids}, ..."


def change_lines(changes: Counter[str], removed: Counter[str]) -> list[str]:
    """Return everything that was changed or left out, with its count."""
    lines = [_change(name, count) for name, count in changes.items() if count]
    return lines + ([f"cut most often: {_listed(removed.most_common(8))}"] if removed else [])


def _change(name: str, count: int) -> str:
    """Turn `empty documents left out` into `left out 3 empty documents` or `left out 1 empty document`."""
    found = CHANGE.fullmatch(name)
    what, verb, rest = found.groups("") if found else (name, "", "")
    verb = verb.replace("not followed", "did not follow")
    return f"{verb} {count:,} {PLURAL.sub('', what, count=1) if count == 1 else what}{rest}".strip()


def gutenberg_line(found: Counter[str], val: int) -> Iterator[str]:
    """Yield a warning if texts have Project Gutenberg's header or license. `val`: its characters, if the text ends with it."""
    if documents := found["documents"]:
        share = f" ({100 * min(found['after'] / val, 1):.0f} % of val)" if val else ""
        yield (
            f"warning: {plural(documents, 'document')} with Project Gutenberg's header and license, {found['before']:,}"
            f" characters before the text and {found['after']:,} after it{share}: set dataset.strip_gutenberg=true"
        )


def unshuffled_line() -> Iterator[str]:
    """Yield the warning about a text that cannot be shuffled."""
    why = "the text is one document; dataset.corpus.lines=true makes a document of each line"
    yield f"warning: dataset.corpus.shuffle has no effect: {why}"


def idle_lines(patterns: Iterable[str]) -> Iterator[str]:
    """Yield a warning for each pattern of dataset.remove that matched nothing: usually it has a backslash too many."""
    for pattern in patterns:
        yield f"warning: a pattern of dataset.remove matches nothing in this text: {pattern}"
