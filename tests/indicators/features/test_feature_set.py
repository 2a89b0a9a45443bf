"""Features of other packages: names, definitions, and the same bits in batch, block by block and live."""

import math

import numpy as np
import pytest

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import (
    FEATURE_HASH,
    FEATURE_NAMES,
    WARMUP,
    FeatureSet,
    NewestFeatures,
    build_features,
    find_families,
    iter_features,
    reads_markets,
)
from indicators.features.feature_set import columns_digest, definition_of
from indicators.proofs.leakage import check_leakage
from tests.indicators.series import bits, walk, with_hole

SLOW = 288


def drift(window):
    """Mean return of a day in units of the current volatility."""
    yield "drift_288", window.total(window.returns, SLOW) / (window.level * math.sqrt(SLOW))


def rough(window):
    yield "rough", window.mean(window.spans, 6)


@reads_markets("BTCUSDT", "ETHUSDT")
def lead(window):
    yield "lead_12", window.other("BTCUSDT", lambda btc: btc.total(btc.returns, 12) / btc.level)
    yield "mean_1", window.mean_of_others(("BTCUSDT", "ETHUSDT"), lambda other: other.returns / other.level)


ALL = FeatureSet((drift, lead))
NEW = len(FEATURE_NAMES)
LONG = walk(WARMUP + 40, markets=2, seed=4)


def beside(grid, **others):
    return CandleGrid(
        grid.open_time, **{name: getattr(grid, name) for name in CANDLE_COLUMNS}, others=others
    )  # fmt: skip


BTC, ETH = (walk(WARMUP + 40, seed=seed) for seed in (8, 9))
WITH_OTHERS = beside(LONG, BTCUSDT=BTC, ETHUSDT=ETH)


def pushed(newest, grid, at):
    def candle(one):
        return np.stack([getattr(one, name)[:, at] for name in CANDLE_COLUMNS])

    newest.push(int(grid.open_time[at]), candle(grid), {name: candle(one) for name, one in grid.others.items()})
    return newest.rows()[0]


def test_columns_of_other_packages_follow_ours_and_change_none():
    assert FeatureSet().names == FEATURE_NAMES
    assert FeatureSet().digest == FEATURE_HASH
    assert ALL.names == (*FEATURE_NAMES, "drift_288", "lead_12", "mean_1")
    assert ALL.other_markets == ("BTCUSDT", "ETHUSDT")
    built = build_features(WITH_OTHERS, 41, ALL)
    assert (bits(built[:, :, :NEW]) == bits(build_features(LONG, 41))).all()
    assert np.isfinite(built).all()


def test_values_of_another_market_are_those_of_its_own_window():
    built = build_features(WITH_OTHERS, 41, ALL)
    alone = build_features(BTC, 41, FeatureSet((lambda_family,)))
    assert (bits(built[0, :, NEW + 1]) == bits(alone[0, :, -1])).all()
    assert (bits(built[1, :, NEW + 1]) == bits(alone[0, :, -1])).all()


def lambda_family(window):
    yield "own_12", window.total(window.returns, 12) / window.level


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_batch_blocks_and_live_have_the_same_bits(chunk):
    gap = with_hole(ETH, 100, 101)
    grid = beside(LONG, BTCUSDT=BTC, ETHUSDT=gap)
    whole = build_features(grid, 41, ALL)
    parts = np.concatenate([block for _, block in iter_features(grid, chunk, ALL)], axis=1)
    assert (bits(parts) == bits(whole)).all()
    newest = NewestFeatures.from_grid(grid.span(0, WARMUP), ALL)
    live = np.stack([newest.rows()[0], *(pushed(newest, grid, at) for at in range(WARMUP, len(grid)))], axis=1)
    assert (bits(live) == bits(whole)).all()


def test_a_replaced_market_brings_the_other_markets_with_it():
    lacking = beside(LONG, BTCUSDT=with_hole(BTC, WARMUP + 2, WARMUP + 3), ETHUSDT=ETH)
    newest = NewestFeatures.from_grid(lacking.span(0, WARMUP), ALL)
    for at in range(WARMUP, WARMUP + 3):
        found = pushed(newest, lacking, at)
    assert np.isnan(found[:, NEW + 1]).all(), "the candle of the other market is missing"
    assert np.isfinite(found[:, NEW + 2]).all(), "the mean is over the one that is known"
    for market in range(2):
        newest.replace(market, WITH_OTHERS.span(3, WARMUP + 3).select(market))
    later = pushed(newest, WITH_OTHERS, WARMUP + 3)
    assert (bits(later) == bits(build_features(WITH_OTHERS.span(0, WARMUP + 4), 1, ALL)[:, 0])).all()


def test_a_market_that_is_not_held_is_unknown_and_leaves_the_row_usable():
    built = build_features(beside(LONG, BTCUSDT=BTC), 3, FeatureSet((lead,)))
    assert np.isfinite(built[:, :, : NEW + 2]).all()
    nothing = build_features(LONG, 3, FeatureSet((lead,)))
    assert np.isnan(nothing[:, :, NEW:]).all()
    assert np.isfinite(nothing[:, :, :NEW]).all()


def test_a_late_candle_is_unknown_to_its_row_alone():
    late = np.zeros((2, len(LONG)), dtype=bool)
    late[1, -2] = True
    grid = CandleGrid(
        LONG.open_time,
        **{name: getattr(LONG, name) for name in CANDLE_COLUMNS},
        others=WITH_OTHERS.others,
        late={"BTCUSDT": late},
    )
    found, known = build_features(grid, 3, ALL), build_features(WITH_OTHERS, 3, ALL)
    unknown = np.argwhere(np.isnan(found)).tolist()
    assert unknown == [[1, 1, NEW + 1]]
    later = [0, 2]
    assert (bits(found[:, later]) == bits(known[:, later])).all()


@reads_markets("BTCUSDT")
def looks_ahead(window):
    yield "ahead", window.other("BTCUSDT", lambda btc: np.roll(btc.returns, -1, axis=0))


@pytest.mark.parametrize(("family", "clean"), [(lead, True), (looks_ahead, False)])
def test_the_leakage_check_changes_other_markets_too(family, clean):
    features = FeatureSet((family,))
    report = check_leakage(
        lambda grid, rows: build_features(grid, rows, features), features.names, WITH_OTHERS, [WARMUP], warmup=WARMUP, ahead=9
    )  # fmt: skip
    assert report.clean is clean


def test_a_version_finds_its_columns_by_name_beside_others():
    trained = FeatureSet((drift,))
    assert FeatureSet((lead, drift)).positions(trained.names, trained.definitions) == (*range(NEW), NEW + 2)
    assert ALL.positions(FEATURE_NAMES[3:5], {}) == (3, 4)


def test_what_is_missing_or_changed_is_named():
    def changed(window):
        yield "drift_288", window.total(window.returns, SLOW)

    trained = FeatureSet((drift,))
    with pytest.raises(FeatureError, match=r"reads drift_288, .*add tests.*test_feature_set.drift to EXTRA_FEATURES"):
        FeatureSet().positions(trained.names, trained.definitions)
    with pytest.raises(FeatureError, match="reads drift_288, which this installation defines otherwise"):
        FeatureSet((changed,)).positions(trained.names, trained.definitions)
    with pytest.raises(FeatureError, match="reads gone, which"):
        FeatureSet().positions(("gone",), {})


def test_a_definition_follows_the_constants_a_family_uses_and_no_other_family(monkeypatch):
    before = definition_of(drift), definition_of(rough)
    monkeypatch.setitem(globals(), "SLOW", 144)
    assert definition_of(drift) != before[0]
    assert definition_of(rough) == before[1]


def test_a_declared_definition_counts_alone(monkeypatch):
    monkeypatch.setattr(drift, "definition", "2", raising=False)
    second = definition_of(drift)
    monkeypatch.setitem(globals(), "SLOW", 144)
    assert definition_of(drift) == second


def test_the_digest_depends_on_definitions():
    assert columns_digest(("a", "b"), {}) != columns_digest(("a", "b"), {"b": "p.f 1"})


def taken(window):
    yield "volatility_level", window.level


def misnamed(window):
    yield "Drift", window.level


def failing(window):
    yield "x", window.other("BTCUSDT", lambda btc: btc.level)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.features", "nowhere.features cannot be imported"),
        ("features", "cannot be imported"),
        (f"{__name__}.SLOW", "no function of a window"),
        (f"{__name__}.taken", "the name of another feature"),
        (f"{__name__}.misnamed", "a name has lower-case letters"),
        (f"{__name__}.failing", "BTCUSDT is not among the other markets"),
    ],
)
def test_families_that_cannot_be_used_are_refused_by_name(name, message):
    with pytest.raises(FeatureError, match=message):
        find_families([name])


def test_families_are_found_by_their_dotted_names():
    assert find_families([f"{__name__}.drift", f"{__name__}.lead"]) == ALL
