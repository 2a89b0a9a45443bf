import numpy as np
import pytest

from indicators.features import FEATURE_NAMES, WARMUP, build_features
from indicators.proofs.leakage import check_leakage, corrupted, seeded_leaks
from indicators.proofs.parity import check_parity
from tests.indicators.series import walk

GRID = walk(WARMUP + 300, markets=2, seed=13)
INSTANTS = [WARMUP - 1, WARMUP + 100, WARMUP + 219]


def test_no_feature_sees_the_next_candle_or_any_after():
    seen = []
    report = check_leakage(
        build_features,
        FEATURE_NAMES,
        GRID,
        INSTANTS,
        warmup=WARMUP,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert report.clean
    assert report.leaking_columns == ()
    assert (report.instants, report.mutations) == (3, 6)
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "leaky"), list(seeded_leaks(build_features)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_seeded_leak_is_caught(name, leaky):
    report = check_leakage(leaky, FEATURE_NAMES, GRID, INSTANTS, warmup=WARMUP)
    assert not report.clean, name
    assert "momentum_1" in report.leaking_columns or name == "global_scaling"


def test_a_leak_in_one_column_is_named_alone():
    def leaky(grid, rows):
        values = build_features(grid, rows)
        peek = np.append(grid.close[:, -rows + 1 :], grid.close[:, -1:], axis=1) / grid.close[:, -rows:]
        values[:, :, 7] = peek
        return values

    report = check_leakage(leaky, FEATURE_NAMES, GRID, INSTANTS[:1], warmup=WARMUP)
    assert report.leaking_columns == (FEATURE_NAMES[7],)
    assert {leak.mutation for leak in report.leaks} == {"next candle", "whole future"}
    assert {leak.market for leak in report.leaks} == {0, 1}


def test_corrupted_candles_are_valid_and_different_and_the_rest_is_untouched():
    bad = corrupted(GRID, 100, 110, np.random.default_rng(1))
    span = bad.span(100, 110)
    assert (span.high >= np.maximum(span.open, span.close)).all()
    assert (span.low <= np.minimum(span.open, span.close)).all()
    assert (span.low > 0).all()
    assert (span.close != GRID.close[:, 100:110]).all()
    assert (bad.close[:, :100] == GRID.close[:, :100]).all()
    assert (bad.close[:, 110:] == GRID.close[:, 110:]).all()


def test_an_instant_without_enough_candles_is_refused():
    with pytest.raises(ValueError, match="lacks"):
        check_leakage(build_features, FEATURE_NAMES, GRID, [WARMUP - 2], warmup=WARMUP)
    with pytest.raises(ValueError, match="lacks"):
        check_leakage(build_features, FEATURE_NAMES, GRID, [len(GRID) - 10], warmup=WARMUP)


def test_parity_finds_a_value_that_depends_on_the_length_of_history():
    assert check_parity(build_features, FEATURE_NAMES, GRID, INSTANTS, warmup=WARMUP) == []

    def running(grid, rows):
        values = build_features(grid, rows)
        values[:, :, 3] = np.cumsum(np.log(grid.volume + 1.0), axis=1)[:, -rows:]
        return values

    found = check_parity(running, FEATURE_NAMES, GRID, INSTANTS, warmup=WARMUP)
    assert {mismatch.column for mismatch in found} == {FEATURE_NAMES[3]}
    assert found[0].live != found[0].batch
