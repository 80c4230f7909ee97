"""The keys of `monitor`; conf/train.yaml explains each of them. Standard library only: help and completion do without torch."""

from dataclasses import dataclass, field


@dataclass
class MonitorConfig:
    scalars_every: int = 10
    updates_every: int = 50
    histograms_every: int = 50
    activations_every: int = 300
    lines_every: int = 100
    samples_every: int | None = None
    sample_prompt: str = ""
    sample_length: int = 200
    sample_temperatures: list[float] = field(default_factory=lambda: [0.5, 0.8, 1.0])
