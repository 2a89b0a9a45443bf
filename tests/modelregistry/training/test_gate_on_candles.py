"""The gate from candles to promotion: bad models are refused with reasons."""

import numpy as np
import pytest

from indicators.features import WARMUP
from modelregistry import registry
from modelregistry.dataset.rows import build_dataset
from modelregistry.errors import PromotionRefused
from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.evaluation.reports.report import Collected, collect_ranges, range_report
from modelregistry.models import ModelVersion, PromotionEvent
from modelregistry.training.fit.scale import fit_linear
from modelregistry.training.gate import range_verdict
from tests.modelregistry import champions, invented

HORIZONS = (18, 36)
"""On shorter horizons a synthetic path often stays at its first price: an atom in the distribution."""
TEST_DAYS = 60
CANDLES = WARMUP + (TEST_DAYS + 60) * 288
SEED = 21
KIND = "range_predictor"


class Model:
    """Quantiles of distance per row, side and horizon, as a range predictor gives them."""

    horizons = HORIZONS

    def __init__(self, up, down):
        self.up, self.down = up, down

    def predict(self, inputs):
        return RangeForecast.from_distances(self.horizons, inputs.close, self.up, self.down)


@pytest.fixture(scope="module")
def rows():
    """Rows of synthetic candles with known volatility, split into training and test."""
    every = build_dataset(invented.grid(CANDLES, seed=SEED), ("AUSDT",), HORIZONS, 6)
    every = every.take(np.flatnonzero(every.has_features))
    edge = every.open_time.max() - TEST_DAYS * 86_400_000
    return every.take(np.flatnonzero(every.ends < edge)), every.take(np.flatnonzero(every.open_time >= edge))


def true_scale(rows):
    """Expected volatility over each horizon, from the generator's state at each row."""
    shocks = 0.07 * np.random.default_rng(SEED).normal(size=CANDLES)
    level = np.zeros(CANDLES)
    for t in range(1, CANDLES):
        level[t] = 0.985 * level[t - 1] + shocks[t]
    columns = []
    for horizon in HORIZONS:
        steps = np.arange(1, horizon + 1)
        slots = (rows.open_time[:, None] // 300_000 + steps) % 288
        size = np.exp(level[rows.position][:, None] * 0.985**steps) * (1 + 0.5 * np.sin(2 * np.pi * slots / 288))
        columns.append(np.sqrt((size**2).sum(axis=1)))
    return np.column_stack(columns)


def scaled(rows, scale_of, bend=1.0):
    """A model with a scale per row and the quantiles of the training rows."""
    train, test = rows
    before, after = scale_of(train), scale_of(test)
    units = [np.quantile(side / before, LEVELS, axis=0).T * bend for side in (train.up, train.down)]
    return Model(*(after[:, :, None] * unit for unit in units))


def constant(rows):
    return scaled(rows, lambda part: np.ones((len(part), len(HORIZONS))))


def noise(rows):
    rng = np.random.default_rng(1)
    return scaled(rows, lambda part: true_scale(part) * np.exp(0.7 * rng.normal(size=(len(part), len(HORIZONS)))))


def leaky(rows):
    _, test = rows
    near = np.linspace(0.97, 1.03, len(LEVELS))
    return Model(*(np.maximum(side, 1e-6)[:, :, None] * near for side in (test.up, test.down)))


def uncalibrated(rows):
    return scaled(rows, true_scale, np.linspace(1.25, 0.75, len(LEVELS)))


def honest(rows):
    return scaled(rows, true_scale)


def verdict_of(model, rows):
    train, test = rows
    found = Collected()
    collect_ranges(found, model, test, train, fit_linear(train.features, train.log_range))
    return range_verdict({**range_report(found, test.stride), "test_days": TEST_DAYS})


def registered(verdict, seed):
    version = champions.candidate(KIND, seed=seed, source="simulated")
    version.gate_accepted, version.gate_reasons = verdict.accepted, verdict.reasons
    version.save()
    return version


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (constant, "not significantly above 0"),
        (noise, "not significantly above 0"),
        (leaky, "bands cover"),
        (uncalibrated, "bands cover"),
    ],
)
@pytest.mark.django_db
def test_a_bad_model_is_refused_with_its_reason_and_the_champion_stays(rows, make, words):
    verdict = verdict_of(make(rows), rows)
    assert not verdict.accepted
    assert any(words in reason for reason in verdict.reasons), verdict.reasons
    first = champions.candidate(KIND, seed=0, source="simulated")
    registry.bootstrap(first, "tests", "a first champion")
    bad = registered(verdict, seed=1)
    with pytest.raises(PromotionRefused) as refused:
        registry.promote(bad, "olga", "it looks good")
    assert refused.value.reasons == verdict.reasons
    with pytest.raises(PromotionRefused, match="a reason is required"):
        registry.promote(bad, "olga", "  ", override=True)
    assert registry.champions("simulated")[KIND] == first
    assert registry.load_ensemble("simulated").versions == {KIND: str(first.pk)}
    assert PromotionEvent.objects.count() == 1
    registry.promote(bad, "olga", "a drill, rolled back at noon", override=True)
    logged = PromotionEvent.objects.first()
    assert (logged.override, logged.gate_reasons) == (True, verdict.reasons)
    assert logged.reason == "a drill, rolled back at noon"


@pytest.mark.django_db
def test_a_model_with_a_real_edge_is_promoted_without_an_override(rows):
    verdict = verdict_of(honest(rows), rows)
    assert verdict.accepted, verdict.reasons
    registry.bootstrap(champions.candidate(KIND, seed=0, source="simulated"), "tests", "a first champion")
    better = registered(verdict, seed=1)
    assert not registry.promote(better, "olga", "it knows the volatility").override
    assert registry.champions("simulated")[KIND] == better
    assert ModelVersion.objects.get(stage="retired").seed == 0
