"""The stored HAR baseline gives the quantiles of the evaluation."""

import json

import numpy as np

from modelregistry.evaluation.baselines.kept import fit_stored_baseline, stored_quantiles
from modelregistry.evaluation.baselines.regressions import Baselines

HORIZONS = (6, 18)


def test_the_stored_baseline_gives_the_quantiles_of_the_evaluation():
    rng = np.random.default_rng(4)
    har = rng.normal(-6, 0.5, size=(600, 7))
    sigma = np.full(600, 0.002)
    up, down = 0.01 * rng.gamma(2, 0.3, size=(2, 600, 2)) + 1e-5
    kept = json.loads(json.dumps(fit_stored_baseline(HORIZONS, har, sigma, up, down)))
    assert [one["horizon"] for one in kept] == list(HORIZONS)
    for season, horizon in enumerate(HORIZONS):
        sides = np.expm1(up[:, season]), -np.expm1(-down[:, season])
        fitted = Baselines.fit(horizon, season, har, sigma, *sides)
        high, low = stored_quantiles(kept[season], har[:50], season)
        for side, stored in enumerate((np.expm1(high), -np.expm1(low)[:, ::-1])):
            times, weight = np.arange(50) * 300_000, np.ones(50)
            true = fitted.predict(season, har[:50], sigma[:50], side, sides[side][:50], times, weight, 300_000)
            np.testing.assert_allclose(stored, true["har_season"], rtol=1e-9)
        assert (np.diff(high) >= 0).all()
        assert (np.diff(low) >= 0).all()


def test_a_row_without_a_profile_is_nan_and_others_are_unchanged():
    kept = {"weights": [-5.0, *6 * [0.01]], "quantiles": [[0.5, 1.0], [0.5, 1.0]]}
    har = np.full((3, 7), -6.0)
    har[1, 5] = np.nan
    high, low = stored_quantiles(kept, har, 0)
    assert np.isnan(high[1]).all()
    assert np.isnan(low[1]).all()
    assert np.isfinite(high[[0, 2]]).all()
    assert np.isfinite(stored_quantiles(kept, har, 1)[0]).all(), "it reads its own profile only"
