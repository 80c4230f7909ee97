import gzip
import hashlib
import re
import subprocess
import sys
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from clean_texts import dataset_config
from omegaconf import OmegaConf

from rnnscope.data.config import READER_VERSION, CorpusConfig, DatasetConfig, SplitConfig
from rnnscope.data.module import TextData

FOLDER = Path(__file__).parents[2] / "conf" / "dataset"
FILES = sorted(FOLDER.glob("*.yaml"))


def load(name: str) -> dict:
    """A dataset's config as Hydra composes it."""
    config = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    bases = [base for base in config.pop("defaults") if base != "_self_" and not base.startswith("/")]
    base = OmegaConf.structured(DatasetConfig) if not bases else OmegaConf.create(load(bases[0]))
    if bases:
        base = OmegaConf.merge(OmegaConf.structured(DatasetConfig), base)
    found = OmegaConf.to_container(OmegaConf.merge(base, config), resolve=True)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_dataset_fits_the_schema_and_the_data_module(path, tmp_path):
    config = load(path.stem)
    assert config["name"] == path.stem
    TextData.from_config(dataset_config(config), cache_dir=tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_key_has_a_comment(path):
    lines = path.read_text().split("\n")
    assert lines[0].startswith("# ")
    keys = [(i, line) for i, line in enumerate(lines) if re.match(r"\s*\w+:", line) and not line.startswith("defaults")]
    groups = {"corpus", "split"}
    bare = [
        line
        for i, line in keys
        if "#" not in line and not lines[i - 1].lstrip().startswith("#") and line.strip(": ") not in groups
    ]
    assert [line for line in bare if not re.match(r"\s+(val|test)_(url|sha256|path):", line)] == []


def test_text_files_documents_every_key_with_its_default():
    config = yaml.safe_load((FOLDER / "text_files.yaml").read_text())
    assert set(config) - {"defaults"} == {field.name for field in fields(DatasetConfig)}
    assert set(config["corpus"]) == {field.name for field in fields(CorpusConfig)}
    assert set(config["split"]) == {field.name for field in fields(SplitConfig)}
    defaults = OmegaConf.to_container(OmegaConf.structured(DatasetConfig))
    assert isinstance(defaults, dict)
    config["corpus"]["path"] = None
    assert config["corpus"]["reader_version"] == READER_VERSION
    config["corpus"]["reader_version"] = 1  # what a config of an older run means
    assert {key: config[key] for key in defaults if key != "name"} == {key: defaults[key] for key in defaults if key != "name"}


def test_the_schema_imports_nothing_heavy():
    code = (
        "import sys, rnnscope.data.config; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pytorch_lightning', 'omegaconf')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def prepared(name: str, folder: Path, **corpus) -> TextData:
    config = load(name)
    config["corpus"] |= corpus
    return TextData.from_config(dataset_config(config), cache_dir=folder / "cache").prepare()


@pytest.mark.parametrize("name", ["tiny_shakespeare", "names", "penn_treebank", "alice", "reddit_comments"])
def test_datasets_whose_file_is_here(name, shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNSCOPE_DATA", str(shared_data))
    text = prepared(name, tmp_path)
    assert next(iter(text.train_dataloader())).count > 0
    assert next(iter(text.windows("val"))).count > 0
    assert not (tmp_path / "cache" / "downloads").exists()


def test_the_hashes_in_conf_are_those_of_the_files(shared_data):
    for name in ("tiny_shakespeare", "names", "penn_treebank"):
        corpus = load(name)["corpus"]
        for prefix in ("", "val_", "test_"):
            if corpus[f"{prefix}path"]:
                path = shared_data / corpus[f"{prefix}path"]
                assert hashlib.sha256(path.read_bytes()).hexdigest() == corpus[f"{prefix}sha256"]


def test_wikitext_from_its_zip_file(shared_data, tmp_path, monkeypatch):
    content = (shared_data / "wikitext2_valid.txt").read_text("utf-8")
    monkeypatch.setenv("RNNSCOPE_DATA", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "wikitext-2-v1.zip", "w") as archive:
        for split in ("train", "valid", "test"):
            archive.writestr(f"wikitext-2/wiki.{split}.tokens", content)
    sha256 = hashlib.sha256((tmp_path / "wikitext-2-v1.zip").read_bytes()).hexdigest()
    text = prepared("wikitext_2", tmp_path, sha256=sha256, val_sha256=sha256, test_sha256=sha256)
    lines = content.removesuffix("\n").split("\n")
    expected = sum(len(line.split()) + 1 for line in lines)
    assert [text.splits[split].tokens for split in ("train", "val", "test")] == [expected] * 3
    assert text.splits["val"].unknown == content.split().count("<unk>")


def test_byte_counts_of_text8_and_enwik8(tmp_path, monkeypatch):
    content = b"some words of wikipedia " * 400
    monkeypatch.setenv("RNNSCOPE_DATA", str(tmp_path))
    (tmp_path / "text8.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "enwik8.zip", "w") as archive:
        archive.writestr("enwik8", content)
    for name, key, algorithm in (("text8", "md5", "md5"), ("enwik8_96_4", "sha256", "sha256")):
        config = load(name)
        file = tmp_path / config["corpus"]["path"]
        config["corpus"][key] = hashlib.new(algorithm, file.read_bytes()).hexdigest()
        config["split"] = (
            {"train": 8000, "val": None, "test": 0} if name != "text8" else {"train": 8000, "val": 1000, "test": None}
        )
        text = TextData.from_config(dataset_config(config | {"batch_size": 4}), cache_dir=tmp_path / "cache").prepare()
        rest = len(content) - 8000
        assert text.splits["train"].tokens == 8000
        assert text.splits["val"].tokens == (1000 if name == "text8" else rest)
        assert text.splits["test"].tokens == (rest - 1000 if name == "text8" else 0)
