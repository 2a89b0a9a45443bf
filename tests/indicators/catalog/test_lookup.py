import numpy as np
import pandas as pd
import pytest

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.catalog.lookup import CATALOG, OUTPUTS, compute_indicators, resolve, warm_up
from indicators.errors import FeatureError, UnknownIndicator
from tests.indicators.series import walk, with_hole

GRID = walk(4000, seed=21)


def test_families_and_usual_names_exist():
    assert {spec.family for spec in CATALOG.values()} == {"trend", "momentum", "volatility", "volume"}
    usual = "sma_20 ema_50 macd macd_signal adx_14 rsi_14 stoch_k stoch_d roc_12 atr_14 bollinger_upper obv vwap mfi_14"
    assert set(usual.split()) <= set(OUTPUTS)
    assert all(spec.description and spec.units and spec.warm_up >= 1 for spec in CATALOG.values())


@pytest.mark.parametrize("name", CATALOG)
def test_every_indicator_stays_in_its_range_and_is_exact_after_its_warm_up(name):
    spec = CATALOG[name]
    whole = compute_indicators(GRID, [name])
    assert tuple(whole) == spec.outputs
    shown = 100
    recent = compute_indicators(GRID.tail(warm_up([name]) + shown - 1), [name])
    for output in spec.outputs:
        values = whole[output]
        assert values.shape == (4000,)
        assert np.isfinite(values[-shown:]).all()
        if spec.value_range:
            low, high = spec.value_range
            assert np.nanmin(values) >= low - 1e-9
            assert np.nanmax(values) <= high + 1e-9
        np.testing.assert_array_equal(recent[output][-shown + 1 :], values[-shown + 1 :])


def test_frame_and_grid_give_the_same_values():
    frame = pd.DataFrame({"open_time": GRID.open_time, **{name: getattr(GRID, name)[0] for name in CANDLE_COLUMNS}})
    np.testing.assert_array_equal(
        compute_indicators(frame, ["rsi_14"])["rsi_14"], compute_indicators(GRID, ["rsi_14"])["rsi_14"]
    )


def test_values_equal_pandas():
    close = pd.Series(GRID.close[0])
    found = compute_indicators(GRID, ["sma_20", "bollinger_20", "roc_12", "vwap"])
    np.testing.assert_allclose(found["sma_20"], close.rolling(20).mean())
    spread = close.rolling(20).std(ddof=0)
    np.testing.assert_allclose(found["bollinger_upper"], close.rolling(20).mean() + 2 * spread, rtol=1e-9)
    np.testing.assert_allclose(found["roc_12"], 100 * (close / close.shift(12) - 1), atol=1e-9)
    typical, traded = (GRID.high + GRID.low + GRID.close)[0] / 3, GRID.volume[0]
    assert found["vwap"][300] == pytest.approx((typical * traded)[288:301].sum() / traded[288:301].sum())


def test_a_hole_restarts_every_indicator_and_is_never_filled():
    hole = with_hole(GRID, 700, 716)
    found = compute_indicators(hole, ["sma_20", "rsi_14", "obv"])
    assert all(np.isnan(values[700:716]).all() for values in found.values())
    after = compute_indicators(GRID.span(716, 4000), ["sma_20", "rsi_14", "obv"])
    for name, values in found.items():
        np.testing.assert_array_equal(values[716:], after[name])
    assert np.isnan(found["sma_20"][716:735]).all()


@pytest.mark.parametrize("length", [0, 1, 2, 30])
def test_short_flat_and_untraded_series_raise_nothing(length):
    ones = np.ones((1, length))
    grid = CandleGrid(GRID.open_time[:length], open=ones, high=ones, low=ones, close=ones, volume=0 * ones)
    found = compute_indicators(grid, CATALOG)
    assert {len(values) for values in found.values()} == {length}
    assert not any(np.isinf(values).any() for values in found.values())


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UnknownIndicator, match=r"'rsi_15', 'foo'.*rsi_14"):
        compute_indicators(GRID, ["sma_20", "rsi_15", "foo"])
    with pytest.raises(FeatureError, match="one market"):
        compute_indicators(walk(50, markets=2), ["sma_20"])


def test_names_resolve_in_order_and_once():
    assert resolve(["bollinger_20", "bollinger_upper", "obv"]) == [
        "bollinger_upper",
        "bollinger_middle",
        "bollinger_lower",
        "obv",
    ]
    assert warm_up(["sma_20", "ema_200"]) == warm_up(["ema_200"]) > CATALOG["ema_200"].warm_up
    assert warm_up([]) == 0
