import random

import pytest
from clean_texts import dataset_config
from messages import line_with

from rnnscope.data.prepare import prepare


def warnings(folder, files: dict[str, str], **keys) -> str:
    """The warnings of the report on a text; its splits are the `files` train, val and test, or cut from train."""
    for name, content in files.items():
        (folder / f"{name}.txt").write_text(content, encoding="utf-8")
    corpus = {"path": "train.txt"} | {f"{name}_path": f"{name}.txt" for name in files if name != "train"}
    corpus = {key: str(folder / name) for key, name in corpus.items()} | keys.pop("corpus", {})
    text = prepare(dataset_config({"corpus": corpus, **keys}), folder / "cache", None, print)
    return "\n".join(line for line in text.report if line.startswith("warning"))


def prose(seed: int, letters: str = "eeeetttaaooiinnsshrdlu", words: int = 4000) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices(letters, k=draw.randint(1, 9))) for _ in range(words))


def names(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("aeiounrslmdk", k=draw.randint(5, 9))) + "\n" for _ in range(count)]


def test_new_text_of_the_same_kind_is_nothing_to_warn_of(tmp_path):
    assert warnings(tmp_path, {"train": prose(1)}) == ""
    assert warnings(tmp_path, {"train": "".join(names(3000))}, corpus={"lines": True}, start_end="document") == ""


def test_nothing_to_compare_with(tmp_path):
    split = {"train": 0.0, "val": 1.0, "test": 0.0}
    assert warnings(tmp_path, {"train": prose(1)}, level="byte", split=split) == ""


@pytest.mark.parametrize(("level", "tokens"), [("char", 40), ("word", 5)])
def test_a_split_of_a_few_tokens(tmp_path, level, tokens):
    found = warnings(tmp_path, {"train": prose(1), "val": prose(2), "test": "nothing " * 4 + "compares"}, level=level)
    line_with(found, "test", tokens, "too few", "give it more text")


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_a_text_of_several_copies_of_itself(tmp_path, level):
    found = warnings(tmp_path, {"train": prose(1) * 3}, level=level)
    line_with(found, "val", "train", 20, "word for word")


def test_a_test_file_that_is_a_part_of_train(tmp_path):
    found = warnings(tmp_path, {"train": prose(1), "val": prose(2, words=500), "test": prose(1)[5000:7000]})
    assert line_with(found, "test", "train", "word for word") == found


def test_names_that_train_has_too(tmp_path):
    content = names(900) + names(900)[:300]  # of the last 120, all are copies
    found = warnings(tmp_path, {"train": "".join(content)}, corpus={"lines": True}, start_end="document")
    line_with(found, "val", "train", "documents", "word for word")


def test_a_sorted_list_divided_by_shares(tmp_path):
    ordered = "".join(sorted(names(3000)))
    found = warnings(tmp_path, {"train": ordered}, corpus={"lines": True})
    assert line_with(found, "val", "different", "dataset.corpus.shuffle=true") == found
    assert warnings(tmp_path, {"train": ordered}, corpus={"lines": True, "shuffle": True}) == ""


def test_another_language_in_val(tmp_path):
    found = warnings(tmp_path, {"train": prose(1), "val": prose(2, "оеаинтсрвлкм", 500)})
    line_with(found, "val", "different")
    assert warnings(tmp_path, {"train": prose(1), "val": prose(2, words=500)}) == ""


BOOK = "Preface.\n***START OF THE PROJECT GUTENBERG EBOOK X***\n{}\nEnd of Project Gutenberg's X\n{}\n"


def test_the_license_of_a_book(tmp_path):
    text = BOOK.format(prose(1), " ".join(names(150)))
    found = warnings(tmp_path, {"train": text})
    after = len(text) - text.index("End of Project")
    share = after / (len(text) - int(len(text) * 0.9))
    line_with(found, 1, "54", f"{after:,}", f"{100 * share:.0f} %", "dataset.strip_gutenberg=true")
    assert warnings(tmp_path, {"train": text}, strip_gutenberg=True) == ""


def test_the_licenses_of_several_books(tmp_path):
    books = {"train": BOOK.format(prose(1), "A license."), "val": BOOK.format(prose(2), "A license.")}
    line_with(warnings(tmp_path, books), 2, "108", "dataset.strip_gutenberg=true")
    quoting = {"train": f"{prose(1)} Project Gutenberg {prose(3)}", "val": prose(2)}
    assert warnings(tmp_path, quoting) == ""
