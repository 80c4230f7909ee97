"""Ranking units by how well they follow detectors.

The unit of a detector is chosen on the first half of the text and scored on the second, so that the best of many does not
profit from chance. An untrained network is the control: its random units follow a text to some degree as well.
"""

from dataclasses import dataclass

import numpy as np

from rnnscope.analysis.detectors import GRADED

LEAST = 20  # characters where a detector must be on, and off, in each half
THRESHOLD = 0.9  # score of an interpretable unit
MARGIN = 0.05  # by which it must exceed all units of an untrained network
SAMPLES = 200  # of the bootstrap
BLOCKS = 25  # stretches of text that are resampled, since neighboring characters are not independent


@dataclass(frozen=True)
class Ranking:
    """How well each unit follows each detector, from 0.5 (not at all) to 1.

    For a binary detector this is the area under the ROC curve, or 1 minus that for a unit that falls where the detector is on;
    for a graded one, it is (1 + |rho|) / 2 with Spearman's rank correlation rho.

    Args:
        detectors: the names of those that the text has enough of.
        chosen: (detectors, units), on the first half of the text.
        scores: (detectors, units), on the second half; below 0.5 if the direction differs from that on the first half.
        intervals: (detectors, 2), the 95 % bootstrap interval of the score of each detector's best unit.
    """

    detectors: list[str]
    chosen: np.ndarray
    scores: np.ndarray
    intervals: np.ndarray

    @property
    def best_units(self) -> np.ndarray:
        """The best unit of each detector, (detectors,), on the first half."""
        return self.chosen.argmax(1) if self.detectors else np.zeros(0, int)

    @property
    def best_scores(self) -> np.ndarray:
        """The score of each detector's best unit, (detectors,), on the second half."""
        return self.scores[np.arange(len(self.detectors)), self.best_units]

    @property
    def best_detectors(self) -> np.ndarray:
        """The best detector of each unit, (units,), on the first half."""
        return self.chosen.argmax(0) if self.detectors else np.zeros(self.chosen.shape[1], int)

    @property
    def own_scores(self) -> np.ndarray:
        """The score of each unit with its best detector, (units,), on the second half; 0.5 without detectors."""
        units = self.scores.shape[1]
        return self.scores[self.best_detectors, np.arange(units)] if self.detectors else np.full(units, 0.5)

    def order(self) -> np.ndarray:
        """Return the units, (units,), sorted by their scores, best first."""
        return np.argsort(-self.own_scores, kind="stable")

    def interpretable(self, twin: "Ranking") -> np.ndarray:
        """Return which units, (units,) bool, score at least `THRESHOLD`, and `MARGIN` more than every unit of `twin`.

        `twin` ranks an untrained network on the same text.
        """
        least = np.maximum(THRESHOLD, twin.scores.max(1) + MARGIN) if self.detectors else np.ones(1)
        return self.own_scores >= least[self.best_detectors]


def rank_units(units: np.ndarray, detectors: dict[str, np.ndarray]) -> Ranking:
    """Rank `units` (time, units) by those of `detectors`, (time,) each, of which both halves have enough."""
    first, second = slice(0, len(units) // 2), slice(len(units) // 2, len(units))
    names = [name for name, values in detectors.items() if _enough(values[first], name) and _enough(values[second], name)]
    values = np.array([detectors[name] for name in names]).reshape(len(names), len(units)).T
    graded = np.array([name in GRADED for name in names], dtype=bool)
    before, after = (association(units[part], values[part], graded) for part in (first, second))
    chosen, scores = 0.5 + np.abs(before) / 2, 0.5 + np.sign(before) * after / 2
    intervals = np.zeros((len(names), 2))
    for index, unit in enumerate(chosen.argmax(1) if names else []):
        drawn = _bootstrap(units[second, unit], values[second, index], bool(graded[index])) * np.sign(before[index, unit])
        intervals[index] = np.nanpercentile(0.5 + drawn / 2, [2.5, 97.5])
    return Ranking(names, chosen, scores, intervals)


def association(units: np.ndarray, values: np.ndarray, graded: np.ndarray) -> np.ndarray:
    """Return the association of `units` (time, units) with `values` (time, detectors): (detectors, units), from -1 to 1.

    That is twice the area under the ROC curve minus 1, or the rank correlation if `graded`. Times at which a value is NaN do
    not count.
    """
    found = np.zeros((values.shape[1], units.shape[1]))
    counts, units, values = ~np.isnan(values.T), np.ascontiguousarray(units.T), values.T
    for mask in np.unique(counts, axis=0):  # detectors that apply at the same times share the ranks of units
        rows = np.flatnonzero((counts == mask).all(1))
        ranks = _centered_ranks(units[:, mask])
        lengths = np.where(graded[rows, None], np.linalg.norm(ranks, axis=1).clip(1e-9), 1)
        found[rows] = _weights(values[rows][:, mask], graded[rows, None]) @ ranks.T / lengths
    return found


def _weights(values: np.ndarray, graded: np.ndarray) -> np.ndarray:
    """Return the weights with which the ranks of a unit are summed, (detectors, time)."""
    ranks = _centered_ranks(values)
    on = values.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN for a detector that is always on
        areas = 2 * values / (on * (values.shape[1] - on))  # Mann & Whitney 1947
        return np.where(graded, ranks / np.linalg.norm(ranks, axis=1, keepdims=True), areas)


def _centered_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value in its row minus the mean rank; equal values share their mean rank."""
    order = values.argsort(1)
    ordered = np.take_along_axis(values, order, 1)
    changes = ordered[:, 1:] != ordered[:, :-1]
    edge, at = np.ones((len(values), 1), dtype=bool), np.arange(values.shape[1], dtype=np.float32)
    lowest = np.maximum.accumulate(np.where(np.hstack([edge, changes]), at, 0), axis=1)
    highest = np.minimum.accumulate(np.where(np.hstack([changes, edge]), at, np.inf)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty_like(lowest)
    np.put_along_axis(ranks, order, (lowest + highest - at[-1]) / 2, 1)
    return ranks


def _enough(values: np.ndarray, name: str) -> bool:
    values = values[~np.isnan(values)]
    if name in GRADED:
        return len(values) >= 2 * LEAST and int((values != values[0]).sum()) >= LEAST
    return LEAST <= int(values.sum()) <= len(values) - LEAST


def _bootstrap(unit: np.ndarray, values: np.ndarray, graded: bool) -> np.ndarray:
    """Return the association of a unit with a detector, both (time,), on resampled stretches of the text: (samples,)."""
    times = np.flatnonzero(~np.isnan(values))
    stretches = times[: len(times) // BLOCKS * BLOCKS].reshape(BLOCKS, -1)
    drawn = stretches[np.random.default_rng(1).integers(BLOCKS, size=(SAMPLES, BLOCKS))].reshape(SAMPLES, -1)
    ranks, weights = _centered_ranks(unit[drawn]), _weights(values[drawn], np.array(graded))
    return (ranks * weights).sum(1) / (np.linalg.norm(ranks, axis=1).clip(1e-9) if graded else 1)
