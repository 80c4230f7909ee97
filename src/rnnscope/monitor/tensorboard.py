"""Writing TensorBoard events: all scalars of a step as one event, each chart with its meaning, text that stays verbatim."""

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
MOST = 1 << 14  # values a histogram counts: more would cost time and show the same shape
PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}


class TensorBoardWriter:
    """One run's TensorBoard events.

    Args:
        folder: where the event file goes.
        first_step: the first step that is written, later than 0 on resume: TensorBoard then drops what an earlier session
            wrote from there on. A new run says 0: TensorBoard takes a session for a restart only if it has seen a start.
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
        number = TensorProto(dtype="DT_FLOAT", float_val=[value])  # simple_value would lose its description on the way
        if tag in self._described:
            return Summary.Value(tag=tag, tensor=number)
        self._described.add(tag)  # TensorBoard keeps the description of a tag's first point
        plugin = SummaryMetadata.PluginData(plugin_name="scalars")
        about = SummaryMetadata(plugin_data=plugin, display_name=tag, summary_description=meaning(tag))
        return Summary.Value(tag=tag, tensor=number, metadata=about)

    def text(self, step: int, tag: str, text: str) -> None:
        """Write text so that Markdown leaves it alone."""
        self._events.append(text_summary(tag, verbatim(text)), step)

    def histograms(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Write a histogram of each tensor's finite values, of every k-th where there are more than `MOST` of them."""
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
        """Fill the HParams tab: the same flat keys in every run, and the tags whose last value it lists.

        Of the keys it shows five at first, those that differ in front: a sweep's own, or all of a section that it varies.
        """
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # type: ignore[attr-defined]

        experiment, start, _ = hparams(values, dict.fromkeys(metrics, 0.0))  # the third is the end, a success already
        plugin = experiment.value[0].metadata.plugin_data
        content = HParamsPluginData.FromString(plugin.content)
        for info in content.experiment.hparam_infos:
            info.differs = info.name in swept or info.name.partition(".")[0] in swept
        plugin.content = content.SerializeToString()
        self._events.append(experiment)
        self._events.append(start)

    def end(self, finished: bool) -> None:
        """Tell the HParams tab how the run ended: success or failure; what is told after that it does not hear."""
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
    return torch.cat([torch.stack(torch.aminmax(flat)), flat[:: -(-len(flat) // MOST) | 1]])  # odd: from every column


def fetch(vectors: list[Tensor]) -> list[Tensor]:
    """Return vectors on the CPU, with one copy for all. There they are counted: on a GPU counting is not repeatable."""
    if not vectors or not vectors[0].is_cuda:
        return vectors
    return list(torch.cat(vectors).cpu().split([len(vector) for vector in vectors]))


def histogram(tag: str, values: Tensor, low: float, high: float) -> "Summary":
    """Return the histogram of `values`, which lie from `low` to `high`, in bins of the same width."""
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
    """Return Markdown that shows `text` as it is: every line indented, nothing UTF-8 cannot hold.

    Control characters become their pictures: a bare carriage return would end the indented line, others vanish.
    """
    safe = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").translate(PICTURES)
    return "\n".join("    " + line for line in safe.split("\n"))
