"""Training runs on synthetic candles, small enough for every test run."""

from dataclasses import replace

import numpy as np
import pytest

from indicators.catalog.volatility import ewm_sigma
from indicators.features import FEATURE_NAMES, WARMUP, build_features
from indicators.labels import future_range
from modelregistry.dataset.rows import build_dataset
from modelregistry.errors import TrainingError
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import KINDS
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from modelregistry.evaluation.baselines.kept import BASELINE_KEY
from modelregistry.training.fit.plan import TrainingPlan, plan_for
from modelregistry.training.fit.residuals import COMING, CONDITIONS, condition_names, quantile_slopes
from modelregistry.training.pipeline import Cancelled, TrainingRequest, train_kinds
from tests.modelregistry import invented

HORIZONS = (6, 18)
CANDLES = WARMUP + 16 * 288
PLAN = TrainingPlan(stride=6, folds=1, test_days=4, cross_blocks=2, marks=(4, 8), residual_rounds=5, seed=1, threads=2)
CLASSES = {"range_predictor": RangePredictor, "tpsl_classifier": TpslClassifier, "signal_classifier": SignalClassifier}


def request(kinds=KINDS, seed=0, plan=PLAN):
    grid = invented.grid(CANDLES, markets=2, seed=seed)
    return TrainingRequest(grid, ("AUSDT", "BUSDT"), "simulated", kinds, HORIZONS, plan, costs=0.0021)


@pytest.fixture(scope="module")
def trained():
    return train_kinds(request())


@pytest.fixture(scope="module")
def fresh():
    """Rows of candles outside the training."""
    grid = invented.grid(WARMUP + 6 * 288, seed=99)
    rows = 6 * 288
    log_high, log_low = (np.stack([future_range(grid, h)[i][0, -rows:] for h in HORIZONS], axis=1) for i in (0, 1))
    features, sigma = build_features(grid, rows)[0], ewm_sigma(grid, rows)[0]
    known = np.isfinite(log_high).all(axis=1)
    inputs = ModelInputs(features, grid.close[0, -rows:], sigma)
    return inputs.take(known), log_high[known], log_low[known]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_candles_give_the_same_bytes(trained, kind):
    again = train_kinds(request((kind,)))[kind]
    assert again.estimator.to_files() == trained[kind].estimator.to_files()
    assert again.manifest_fields == trained[kind].manifest_fields
    assert again.golden_rows == trained[kind].golden_rows


def test_another_seed_gives_other_bytes(trained):
    other = train_kinds(request(("range_predictor",), plan=replace(PLAN, seed=2)))["range_predictor"]
    assert other.estimator.to_files() != trained["range_predictor"].estimator.to_files()


def test_a_range_predictor_stores_its_baseline(trained):
    kept = trained["range_predictor"].report[BASELINE_KEY]
    assert [one["horizon"] for one in kept] == list(HORIZONS)
    assert np.isfinite([one["weights"] for one in kept]).all()
    assert (np.diff([one["quantiles"] for one in kept], axis=2) >= 0).all()
    assert BASELINE_KEY not in trained["tpsl_classifier"].report


@pytest.mark.parametrize("kind", KINDS)
def test_estimators_round_trip_through_files(trained, kind, fresh):
    inputs, *_ = fresh
    before = trained[kind].estimator
    after = CLASSES[kind].from_files(before.to_files())
    assert after.to_files() == before.to_files()
    assert after.horizons == before.horizons
    if kind == "range_predictor":
        assert np.array_equal(before.predict(inputs).high, after.predict(inputs).high)
    elif kind == "tpsl_classifier":
        answers = [one.view(inputs).touch(6, inputs.close * 1.001) for one in (before, after)]
        assert np.array_equal(*answers)
    else:
        assert np.array_equal(before.predict(inputs.features), after.predict(inputs.features))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_or_foreign_file_is_refused_with_a_message(trained, kind):
    files = trained[kind].estimator.to_files()
    other = next(one for one in KINDS if one != kind)
    with pytest.raises(ValueError, match="does not describe"):
        CLASSES[other].from_files(files)
    trees = next(name for name in files if name.endswith(".ubj"))
    with pytest.raises(ValueError, match="missing"):
        CLASSES[kind].from_files({name: raw for name, raw in files.items() if name != trees})
    with pytest.raises(ValueError, match="not an XGBoost model"):
        CLASSES[kind].from_files({**files, trees: files[trees][:40]})


def test_one_row_gives_the_bits_of_a_batch(trained, fresh):
    inputs, *_ = fresh
    ranges, tpsl = trained["range_predictor"].estimator, trained["tpsl_classifier"].estimator
    many = ranges.predict(inputs)
    levels = inputs.close * 1.002, inputs.close * 0.999
    chances = tpsl.view(inputs).probabilities(18, "buy", *levels)
    signal = trained["signal_classifier"].estimator.predict(inputs.features)
    for i in (0, 1, 7, 500, len(inputs) - 1):
        row = slice(i, i + 1)
        one = ranges.predict(inputs.take(row))
        assert np.array_equal(one.high[0], many.high[i])
        assert np.array_equal(one.low[0], many.low[i])
        alone = tpsl.view(inputs.take(row)).probabilities(18, "buy", *(level[row] for level in levels))
        assert np.array_equal(alone[0], chances[i])
        assert np.array_equal(trained["signal_classifier"].estimator.predict(inputs.features[row])[0], signal[i])


def test_forecasts_are_finite_and_coherent_on_extreme_features(trained):
    rng = np.random.default_rng(0)
    features = (100 * rng.standard_t(1, size=(300, len(FEATURE_NAMES)))).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    inputs = ModelInputs(features, np.full(300, 50.0), np.full(300, 0.001))
    forecast = trained["range_predictor"].estimator.predict(inputs)
    assert np.isfinite(forecast.high).all()
    assert (forecast.low > 0).all()
    assert (np.diff(forecast.high, axis=2) >= 0).all()
    assert (np.diff(forecast.high, axis=1) >= 0).all()
    assert (np.diff(forecast.low, axis=1) <= 0).all()


def test_bands_cover_fresh_candles_and_beat_volatility_alone(trained, fresh):
    inputs, up, down = fresh
    close, forecast = inputs.close, trained["range_predictor"].estimator.predict(inputs)
    inside = []
    for k in range(len(HORIZONS)):
        high = np.log(forecast.high[:, k] / close[:, None])
        low = np.log(close[:, None] / forecast.low[:, k, ::-1])
        inside += [(up[:, k] >= high[:, 1]) & (up[:, k] <= high[:, 5])]
        inside += [(down[:, k] >= low[:, 1]) & (down[:, k] <= low[:, 5])]
    assert abs(np.mean(inside) - 0.8) < 0.06
    for cell in trained["range_predictor"].report["cells"]:
        assert cell["pinball"] < 1.02 * cell["baselines"]["ewm"]


def test_bracket_probabilities_are_valid_and_monotonic(trained, fresh):
    inputs, *_ = fresh
    close, view = inputs.close, trained["tpsl_classifier"].estimator.view(inputs)
    unit = inputs.sigma * np.sqrt(18)
    for side, sign in (("buy", 1), ("sell", -1)):
        profits = close[:, None] * (1 + sign * unit[:, None] * np.array([0.5, 1.0, 2.0]))
        stops = np.repeat((close * (1 - sign * unit))[:, None], 3, axis=1)
        chances = view.probabilities(18, side, profits, stops)
        assert np.allclose(chances.sum(axis=-1), 1.0, atol=1e-12)
        assert ((chances >= 0) & (chances <= 1)).all()
        assert (np.diff(chances[:, :, 0], axis=1) < 0).mean() > 0.999
        waits = view.expected_candles(18, side, profits, stops)
        assert ((waits > 0) & (waits <= 18)).all()
        assert (np.diff(waits, axis=1) > -1e-9).all()
    reached = view.touch(18, close[:, None] * (1 + unit[:, None] * np.array([0.0, 0.5, 1.0, 2.0])))
    assert (reached[:, 0] == 1.0).all()
    assert (np.diff(reached, axis=1) < 0).mean() > 0.999


def test_touch_probabilities_are_calibrated(trained, fresh):
    inputs, up, _ = fresh
    view = trained["tpsl_classifier"].estimator.view(inputs)
    for k, horizon in enumerate(HORIZONS):
        distance = inputs.sigma * np.sqrt(horizon)
        touched = view.touch(horizon, inputs.close * np.exp(distance))
        assert abs(touched.mean() - (up[:, k] >= distance).mean()) < 0.06


def test_a_level_on_the_wrong_side_or_an_unknown_horizon_is_refused(trained, fresh):
    inputs = fresh[0].take(slice(1))
    close, view = inputs.close, trained["tpsl_classifier"].estimator.view(inputs)
    with pytest.raises(ValueError, match="own sides"):
        view.probabilities(6, "buy", close * 0.99, close * 0.98)
    with pytest.raises(ValueError, match="not one of"):
        view.touch(7, close)
    with pytest.raises(ValueError, match="side"):
        view.probabilities(6, "hold", close * 1.01, close * 0.99)


def test_on_a_walk_without_direction_the_signal_classifier_is_the_base_rate(trained):
    found = trained["signal_classifier"]
    assert found.estimator.trust == 0.0
    assert not found.verdict.accepted
    assert any("base rate" in reason for reason in found.verdict.reasons)


def test_a_cancel_stops_between_steps():
    steps = []
    with pytest.raises(Cancelled):
        train_kinds(request(), lambda *step: steps.append(step), lambda: len(steps) >= 3)
    assert len(steps) == 3


def test_progress_ends_at_its_total():
    steps = []
    train_kinds(request(("signal_classifier",)), lambda done, total, message: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_too_few_candles_are_refused_with_the_number_that_is_needed():
    with pytest.raises(TrainingError, match=rf"{WARMUP + 15 * 288 + 72} are needed"):
        plan_for(5000, (6, 72))


def test_rows_without_a_future_or_with_a_hole_are_never_rows():
    grid = invented.grid(WARMUP + 600, seed=3)
    hole = WARMUP + 300
    for name in ("open", "high", "low", "close", "volume"):
        getattr(grid, name)[0, hole] = np.nan
    rows = build_dataset(grid, ("AUSDT",), (6, 72), 1)
    assert rows.position.max() == len(grid) - 73
    assert not ((rows.position >= hole - 72) & (rows.position <= hole)).any()
    assert np.isfinite(rows.up).all()


def test_labels_read_nothing_beyond_the_grid():
    grid = invented.grid(WARMUP + 400, seed=4)
    cut = grid.span(0, WARMUP + 300)
    whole, short = (build_dataset(one, ("AUSDT",), (6, 72), 1) for one in (grid, cut))
    same = whole.take(np.flatnonzero(whole.ends <= cut.open_time[-1] + 300_000))
    assert np.array_equal(same.open_time, short.open_time)
    assert np.array_equal(same.up, short.up)
    assert np.array_equal(same.features, short.features)


def test_quantile_slopes_find_a_spread_that_depends_on_a_condition():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(20_000, 1)).clip(-2, 2)
    values = (1 + 0.3 * z[:, 0]) * rng.normal(size=20_000)
    base, slopes = quantile_slopes(z, values, 0.9, 0.0)
    assert abs(base - 1.28) < 0.05
    assert abs(slopes[0] - 0.3 * 1.28) < 0.05


def test_a_row_of_weight_two_counts_as_two_rows():
    rng = np.random.default_rng(6)
    z, values = rng.normal(size=(900, 2)), rng.exponential(size=900)
    weights = np.where(np.arange(900) < 300, 2.0, 0.5)
    base, slopes = quantile_slopes(z, values, 0.75, 0.01, weights)
    twice = np.repeat(np.arange(900), np.where(np.arange(900) < 300, 4, 1))
    start = float(np.quantile(values, 0.75))
    same, same_slopes = quantile_slopes(z[twice], values[twice], 0.75, 0.01)
    assert abs(base - same) < 0.02 * start
    assert np.abs(slopes - same_slopes).max() < 0.02 * start


def test_the_regressions_of_a_horizon_use_its_own_calendar_window():
    names = condition_names(FEATURE_NAMES, (6, 72))
    assert "weekend_ahead_6" in names[0]
    assert "weekend_ahead_6" not in names[1]
    assert [len(own) for own in names] == [len(CONDITIONS) + len(COMING)] * 2


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_thinning_selects_the_same_times_of_every_market(step):
    rows = build_dataset(invented.grid(WARMUP + 400, markets=2, seed=6), ("AUSDT", "BUSDT"), (6,), 3)
    thinned = rows.take(rows.thinned_positions(step))
    shares = np.bincount(thinned.market, minlength=2)
    assert abs(shares[0] - shares[1]) <= 1
    assert abs(len(thinned) * step - len(rows)) <= 2 * step
    assert np.array_equal(thinned.open_time[thinned.market == 0], thinned.open_time[thinned.market == 1])
