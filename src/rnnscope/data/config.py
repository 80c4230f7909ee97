"""The type and default of every key of `dataset`. conf/dataset/text_files.yaml explains each of them."""

from dataclasses import dataclass, field

READER_VERSION = 6  # of a new run; if a run has none recorded, it is 1


@dataclass
class CorpusConfig:
    path: str | None = None
    val_path: str | None = None
    test_path: str | None = None
    url: str | None = None
    sha256: str | None = None
    md5: str | None = None
    val_url: str | None = None
    val_sha256: str | None = None
    test_url: str | None = None
    test_sha256: str | None = None
    inline: str | None = None
    available_at: str | None = None
    packages: list[str] = field(default_factory=list)
    copy_lag: int | None = None
    copies: int = 20_000
    copy_seed: int = 1
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    column: str | None = None
    delimiter: str | None = None
    header: bool = True
    escape: str | None = None
    lines: bool = False
    separator: str = "\n"
    shuffle: bool = False
    reader_version: int = 1


@dataclass
class SplitConfig:
    train: float | None = 0.9
    val: float | None = 0.1
    test: float | None = 0.0
    columns: int | None = None


@dataclass
class DatasetConfig:
    name: str = "???"  # must be given
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    level: str = "char"
    words: str = "lossless"
    vocabulary_size: int | None = None
    minimum_count: int = 1
    unk: str = "<unk>"
    start: str = "<s>"
    end: str = "</s>"
    unk_in_text: bool = False
    start_end: str | None = None
    encoding: str = "utf-8"
    encoding_errors: str = "strict"
    newline: str = "universal"
    strip_bom: bool = True
    strip_gutenberg: bool = False
    remove: list[str] = field(default_factory=list)
    normalise: str | None = None
    lower_case: bool = False
    windows: str = "stream"
    window_step: int | None = None
    batch_size: int = 32
    sequence_length: int = 64
    val_batch_size: int = 16
