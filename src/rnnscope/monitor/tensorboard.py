"""Writing TensorBoard events: all scalars of a step in one event, a description for each chart, and verbatim text."""

import math
from collections.abc import Collection
from pathlib import Path

import torch
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[attr-defined]
from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[attr-defined]
from torch import Tensor
from torch.utils.tensorboard.summary import custom_scalars, histogram_raw, hparams
from torch.utils.tensorboard.summary import text as text_summary

from rnnscope.monitor.chart_descriptions import CARD, card, layout, meaning
from rnnscope.monitor.event_file import EventFile

BINS = 30  # as many as TensorBoard draws
MOST = 1 << 14  # values in a histogram: more would take longer and show the same shape
PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}


class TensorBoardWriter:
    """One run's TensorBoard events.

    Args:
        folder: of the event file.
        first_step: the first step to be written. If a run is resumed, it is above 0, and TensorBoard drops what an earlier
            session wrote from there on. In a new run it is 0: TensorBoard must have seen a start to recognize a restart.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        self._events = EventFile(folder, first_step)
        self._described: set[str] = set()
        if not first_step:
            self._events.append(custom_scalars(layout()))
            self._events.append(text_summary(CARD, card()))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write all `values` of a step."""
        self._events.append(Summary(value=[self._scalar(tag, value) for tag, value in values.items()]), step)

    def _scalar(self, tag: str, value: float) -> "Summary.Value":
        number = TensorProto(dtype="DT_FLOAT", float_val=[value])  # TensorBoard drops the description of a simple_value
        if tag in self._described:
            return Summary.Value(tag=tag, tensor=number)
        self._described.add(tag)  # TensorBoard keeps the description of a tag's first point
        plugin = SummaryMetadata.PluginData(plugin_name="scalars")
        about = SummaryMetadata(plugin_data=plugin, display_name=tag, summary_description=meaning(tag))
        return Summary.Value(tag=tag, tensor=number, metadata=about)

    def text(self, step: int, tag: str, text: str) -> None:
        """Write text that TensorBoard shows verbatim, not as Markdown."""
        self._events.append(text_summary(tag, verbatim(text)), step)

    def histograms(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Write a histogram of the finite values of each tensor; if it has more than `MOST`, of every k-th value."""
        found = Summary()  # all in one event
        for tag, values in zip(tensors, fetch([thinned(values) for values in tensors.values()]), strict=True):
            (low, high), flat = values[:2].tolist(), values[2:]
            if not math.isfinite(high - low):
                flat = flat[flat.isfinite()]
                low, high = (float(bound) for bound in torch.aminmax(flat)) if len(flat) else (0.0, 0.0)
            if len(flat):
                found.MergeFrom(histogram(tag, flat, low, high))
        self._events.append(found, step)

    def hparams(self, values: dict[str, bool | str | float | int], metrics: list[str], swept: Collection[str] = ()) -> None:
        """Fill the HParams tab: the flat keys, which are the same in every run, and the tags whose last value it lists.

        The tab shows five keys at first, beginning with those that differ: the keys of a sweep, or all keys of a section that
        it varies.
        """
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # type: ignore[attr-defined]

        experiment, start, _ = hparams(values, dict.fromkeys(metrics, 0.0))  # the third would mark the end, as a success
        plugin = experiment.value[0].metadata.plugin_data
        content = HParamsPluginData.FromString(plugin.content)
        for info in content.experiment.hparam_infos:
            info.differs = info.name in swept or info.name.partition(".")[0] in swept
        plugin.content = content.SerializeToString()
        self._events.append(experiment)
        self._events.append(start)

    def end(self, finished: bool) -> None:
        """Tell the HParams tab whether the run finished. It ignores later calls."""
        from tensorboard.plugins.hparams.api_pb2 import Status  # type: ignore[attr-defined]
        from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, PLUGIN_NAME, SESSION_END_INFO_TAG
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo  # type: ignore[attr-defined]

        status = Status.Value("STATUS_SUCCESS" if finished else "STATUS_FAILURE")
        content = HParamsPluginData(session_end_info=SessionEndInfo(status=status), version=PLUGIN_DATA_VERSION)
        data = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=content.SerializeToString())
        value = Summary.Value(tag=SESSION_END_INFO_TAG, metadata=SummaryMetadata(plugin_data=data))
        self._events.append(Summary(value=[value]))

    def close(self) -> None:
        self._events.close()


def thinned(tensor: Tensor) -> Tensor:
    """Return the smallest and the largest value, then at most `MOST` of all values: (n,) float32."""
    flat = tensor.detach().flatten().float()
    # an odd step, which meets every column of a matrix
    return torch.cat([torch.stack(torch.aminmax(flat)), flat[:: -(-len(flat) // MOST) | 1]])


def fetch(vectors: list[Tensor]) -> list[Tensor]:
    """Return vectors on the CPU, with one copy for all: counting values on a GPU is not deterministic."""
    if not vectors or not vectors[0].is_cuda:
        return vectors
    return list(torch.cat(vectors).cpu().split([len(vector) for vector in vectors]))


def histogram(tag: str, values: Tensor, low: float, high: float) -> "Summary":
    """Return the histogram of `values`, which lie between `low` and `high`, in bins of equal width."""
    if low == high:
        low, high = low - 1e-6, high + 1e-6
    width = (high - low) / BINS
    return histogram_raw(
        tag,
        min=low,
        max=high,
        num=len(values),
        sum=float(values.sum()),
        sum_squares=float(torch.linalg.vector_norm(values)) ** 2,
        bucket_limits=[low + width * (index + 1) for index in range(BINS)],
        bucket_counts=torch.histc(values, BINS, low, high).tolist(),
    )


def verbatim(text: str) -> str:
    """Return Markdown that shows `text` as it is: every line is indented, and lone surrogates are replaced.

    Control characters become visible signs: a bare carriage return would end the indented line, and others would vanish.
    """
    safe = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").translate(PICTURES)
    return "\n".join("    " + line for line in safe.split("\n"))
