"""Units ranked by number, against areas and correlations counted pair by pair."""

import numpy as np
import pytest

from rnnscope.analysis.unit_ranking import THRESHOLD, association, rank_units

DRAW = np.random.default_rng(5)


def area(unit: np.ndarray, on: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a pair is in the right order."""
    high, low = unit[on == 1][:, None], unit[on == 0]
    return float((high > low).mean() + (high == low).mean() / 2)


def test_association_of_what_is_on_or_off_is_the_area_under_the_roc_curve():
    units = DRAW.normal(size=(80, 3)).round(1)  # some values are equal
    on = (DRAW.random((80, 2)) < 0.4).astype(float)
    on[:20, 1] = np.nan
    found = association(units, on, np.zeros(2, dtype=bool))
    for detector in range(2):
        there = ~np.isnan(on[:, detector])
        areas = [area(unit[there], on[there, detector]) for unit in units.T]
        assert (found[detector] + 1) / 2 == pytest.approx(areas)


def test_association_of_degrees_is_the_rank_correlation():
    units, degrees = DRAW.permuted(np.tile(np.arange(30.0), (2, 1)), axis=1).T, DRAW.permutation(np.arange(30.0))
    apart = ((units - degrees[:, None]) ** 2).sum(0)
    assert association(np.exp(units), degrees[:, None], np.array([True]))[0] == pytest.approx(
        1 - 6 * apart / (30 * (30**2 - 1))
    )


def test_a_unit_is_chosen_on_the_first_half_and_scored_on_the_second():
    on = np.tile(np.repeat([0.0, 1.0], 20), 20)  # 800 tokens
    units = DRAW.normal(size=(800, 4))
    units[:400, 1] += 9 * on[:400]  # knows it in the first half only
    units[:, 2] -= 3 * on
    found = rank_units(units, {"inside quotes": on, "comment": np.zeros(800), "digits": DRAW.permutation(on)})
    assert found.detectors == ["inside quotes", "digits"]  # a text without comments says nothing of them
    assert found.best_units[0] == 1
    assert found.best_scores[0] == pytest.approx(area(units[400:, 1], on[400:]))
    assert found.scores[0, 2] == pytest.approx(area(-units[400:, 2], on[400:]))
    assert found.order()[0] == 2
    low, high = found.intervals[0]
    assert low <= found.best_scores[0] <= high < THRESHOLD


def test_interpretable_is_what_an_untrained_network_does_not_do():
    on = np.tile(np.repeat([0.0, 1.0], 20), 20)
    noise = DRAW.normal(size=(2, 800, 3))
    knowing = noise[0].copy()
    knowing[:, 1] += 5 * on
    trained, untrained = (rank_units(units, {"tag": on}) for units in (knowing, noise[1]))
    assert trained.interpretable(untrained).tolist() == [False, True, False]
    assert not trained.interpretable(trained).any()
    assert not rank_units(noise[0], {}).interpretable(rank_units(noise[1], {})).any()
