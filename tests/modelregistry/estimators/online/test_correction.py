"""The online correction on forecasts with a known error."""

from statistics import NormalDist

import numpy as np
import pytest

from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.online.correction import (
    LEGACY_SLOPES,
    MAX_LOG_CORRECTION,
    NO_CORRECTION,
    SLOPES,
    Correction,
    outcomes_after,
)

HORIZONS = (6, 72)
TAILS = -np.log(1 - np.array(LEVELS))


def forecasts(count, bias, seed=1, stride=12):
    """Exponential outcomes, with quantiles too large by the factor `bias`."""
    rng = np.random.default_rng(seed)
    outcomes = rng.exponential(size=(count, len(HORIZONS), 2))
    quantiles = np.broadcast_to(bias * TAILS, (count, len(HORIZONS), 2, len(LEVELS)))
    return quantiles, outcomes, np.arange(count) * stride


def test_too_wide_forecasts_are_narrowed_and_too_narrow_ones_widened():
    correction = Correction(candles=8640, prior=0.0)
    for bias in (0.8, 1.25):
        quantiles, observed, numbers = forecasts(720, bias)
        found = correction.log_factors(quantiles, observed, numbers, np.array([8700]), HORIZONS)
        outer = found[0, :, :, -3:]
        assert (np.sign(outer) == -np.sign(np.log(bias))).all()


def test_a_calibrated_forecast_is_hardly_corrected():
    quantiles, observed, numbers = forecasts(7200, 1.0, stride=1)
    found = Correction(candles=7000, stride=1).log_factors(quantiles, observed, numbers, np.array([7199]), HORIZONS)
    assert (np.abs(found) * SLOPES).max() < 0.02  # in shares of the outcomes


def test_forecasts_count_only_after_their_outcome_is_known():
    quantiles, observed, numbers = forecasts(720, 1.25)
    correction, at = Correction(candles=4000), np.array([6000])
    found = correction.log_factors(quantiles, observed, numbers, at, HORIZONS)
    for k, horizon in enumerate(HORIZONS):
        later = observed.copy()
        later[numbers > 6000 - horizon, k] = 1e6
        assert (correction.log_factors(quantiles, later, numbers, at, HORIZONS)[:, k] == found[:, k]).all()
        earlier = observed.copy()
        earlier[numbers == (6000 - horizon) // 12 * 12, k] = 1e6
        earlier[numbers == (6000 - horizon) // 12 * 12 - 12, k] = 1e6
        assert (correction.log_factors(quantiles, earlier, numbers, at, HORIZONS)[:, k] != found[:, k]).any()


def test_older_forecasts_than_the_window_change_no_bit():
    quantiles, observed, numbers = forecasts(1440, 0.9)
    correction, at_number = Correction(candles=4000), np.arange(9000, 9100)
    whole = correction.log_factors(quantiles, observed, numbers, at_number, HORIZONS)
    for row, at in enumerate(at_number):
        window = (numbers > at - 4000 - max(HORIZONS)) & (numbers <= at)
        alone = correction.log_factors(quantiles[window], observed[window], numbers[window], np.array([at]), HORIZONS)
        assert (alone[0] == whole[row]).all()


def test_few_or_no_outcomes_change_nothing():
    quantiles, observed, numbers = forecasts(720, 1.25)
    correction = Correction(candles=4000)
    assert not correction.log_factors(quantiles[:60], observed[:60], numbers[:60], np.array([800]), HORIZONS).any()
    unknown = np.full(observed.shape, np.nan)
    assert not correction.log_factors(quantiles, unknown, numbers, np.array([8000]), HORIZONS).any()
    empty = correction.log_factors(quantiles[:0], observed[:0], numbers[:0], np.array([8000]), HORIZONS)
    assert empty.shape == (1, 2, 2, 7)
    assert not empty.any()


def test_corrections_are_clipped_at_the_limit():
    quantiles, observed, numbers = forecasts(720, 100.0)
    found = Correction(candles=4000, gain=2.0, prior=0.0).log_factors(
        quantiles, observed, numbers, np.array([8000]), HORIZONS
    )
    assert np.abs(found).max() == MAX_LOG_CORRECTION


def test_outcomes_need_every_candle_after_them():
    close = np.array([100.0, 101.0, np.nan, 103.0, 104.0, 105.0])
    found = outcomes_after(close + 1, close - 1, close, np.array([0, 1, 3, 4]), (1, 2))
    assert np.isnan(found[:, 0, 0]).tolist() == [False, True, False, False]
    assert np.isnan(found[:, 1, 0]).tolist() == [True, True, False, True]
    assert found[2, 1, 0] == pytest.approx(np.log(106 / 103))
    assert found[2, 1, 1] == pytest.approx(0.0)  # the lowest low is the close itself


def test_miscoverage_of_a_random_walk_is_corrected_at_every_level():
    """One step corrects most of quantiles that are 10 % too large."""
    rng = np.random.default_rng(3)
    size = np.array([NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS])
    observed = np.abs(rng.normal(size=(20_000, 1, 2)))
    quantiles = np.broadcast_to(1.1 * size, (20_000, 1, 2, len(LEVELS)))
    correction = Correction(candles=20_000, stride=1, prior=0.0)
    found = correction.log_factors(quantiles, observed, np.arange(20_000), np.array([20_000]), (1,))[0, 0]
    assert found == pytest.approx(np.full((2, 7), -np.log(1.1)), abs=0.05)


def test_older_versions_keep_the_legacy_slopes():
    kept = Correction(4032, 12, 0.5, 20.0).as_parameters()
    assert Correction.from_parameters(kept).slopes == SLOPES
    del kept["slopes"]
    assert Correction.from_parameters(kept).slopes == LEGACY_SLOPES


def test_parameters_round_trip_and_invalid_ones_raise():
    one = Correction(4032, 12, 0.5, 50.0)
    assert Correction.from_parameters(one.as_parameters()) == one
    assert not NO_CORRECTION.active
    for wrong in (
        {"candles": -1},
        {"stride": 0},
        {"gain": 3.0},
        {"candles": 10**6},
        {"slopes": [0.3]},
        {"slopes": [0.0] * 7},
    ):
        with pytest.raises(ValueError, match="out of range"):
            Correction.from_parameters(one.as_parameters() | wrong)
