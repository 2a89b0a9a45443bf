"""Values of the catalogue on ordinary, flat, gapped, tiny and huge candles."""

import numpy as np
import pytest
import talib

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.catalog.lookup import CATALOG, OUTPUTS, compute_indicators, warm_up
from tests.indicators.series import MONDAY_MS, walk, with_hole

GRID = walk(6000, seed=5)
WEEK = 2016


def by_talib(grid):
    """TA-Lib's values over a complete history."""
    h, l, c, v = (np.ascontiguousarray(getattr(grid, name)[0]) for name in CANDLE_COLUMNS[1:])  # noqa: E741
    found = {f"sma_{n}": talib.SMA(c, n) for n in (20, 50, 200)}
    found |= {f"ema_{n}": talib.EMA(c, n) for n in (12, 26, 50, 200)}
    found |= {f"rsi_{n}": talib.RSI(c, n) for n in (7, 14)}
    found |= {f"roc_{n}": talib.ROC(c, n) for n in (6, 12, 72, 288)}
    found["wma_20"] = talib.WMA(c, 20)
    found["macd"], found["macd_signal"], found["macd_histogram"] = talib.MACD(c, 12, 26, 9)
    found["adx_14"], found["plus_di_14"] = talib.ADX(h, l, c, 14), talib.PLUS_DI(h, l, c, 14)
    found["minus_di_14"] = talib.MINUS_DI(h, l, c, 14)
    found["aroon_down_25"], found["aroon_up_25"] = talib.AROON(h, l, 25)
    found["stoch_k"], found["stoch_d"] = talib.STOCH(h, l, c, fastk_period=14, slowk_period=3, slowd_period=3)
    found["cci_20"], found["williams_r_14"] = talib.CCI(h, l, c, 20), talib.WILLR(h, l, c, 14)
    found["atr_14"], found["natr_14"] = talib.ATR(h, l, c, 14), talib.NATR(h, l, c, 14)
    found["bollinger_upper"], found["bollinger_middle"], found["bollinger_lower"] = talib.BBANDS(c, 20, 2.0, 2.0)
    found["mfi_14"], found["volume_sma_20"] = talib.MFI(h, l, c, v, 14), talib.SMA(v, 20)
    found["obv"], found["accumulation"] = talib.OBV(c, v), talib.AD(h, l, c, v)
    return found


def flat(n, price=0.1, volume=0.0, start_ms=MONDAY_MS):
    ones = np.full((1, n), price)
    times = start_ms + 300_000 * np.arange(n, dtype=np.int64)
    return CandleGrid(times, open=ones, high=ones, low=ones, close=ones, volume=np.full((1, n), volume))


def then_flat(grid, still, volume=0.0):
    """The grid followed by candles at its last close."""
    rest = flat(still, grid.close[0, -1], volume, int(grid.open_time[-1]) + 300_000)
    return CandleGrid(
        np.concatenate([grid.open_time, rest.open_time]),
        **{name: np.hstack([getattr(grid, name), getattr(rest, name)]) for name in CANDLE_COLUMNS},
    )


def times(grid, factor):
    """The grid at another price level."""
    return CandleGrid(
        grid.open_time,
        **{name: getattr(grid, name) * (factor if name != "volume" else 1.0) for name in CANDLE_COLUMNS},
    )


def test_every_indicator_equals_talib_on_ordinary_candles():
    expected, found = by_talib(GRID), compute_indicators(GRID, CATALOG)
    assert set(expected) | {"vwap", "sigma_72"} == set(OUTPUTS)
    for output, values in expected.items():
        shown, own = values, found[output]
        if output in {"obv", "accumulation"}:  # TA-Lib counts from the first candle, the catalogue from Monday
            shown, own = np.diff(values[WEEK : 2 * WEEK]), np.diff(own[WEEK : 2 * WEEK])
        scale = np.nanmax(np.abs(shown))
        np.testing.assert_array_equal(np.isnan(own), np.isnan(shown), err_msg=output)
        np.testing.assert_allclose(own, shown, rtol=1e-8, atol=1e-9 * scale, err_msg=output)


def test_a_new_market_has_the_values_of_talib_from_its_first_candle():
    young = GRID.span(1000, 1500)
    expected, found = by_talib(young), compute_indicators(young, CATALOG)
    for output in set(expected) - {"obv", "accumulation"}:
        scale = np.nanmax(np.abs(expected[output]))
        np.testing.assert_array_equal(np.isnan(found[output]), np.isnan(expected[output]), err_msg=output)
        np.testing.assert_allclose(found[output], expected[output], rtol=1e-8, atol=1e-9 * scale, err_msg=output)


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_value_has_the_same_bits_with_other_indicators_and_at_any_limit(output):
    everything = compute_indicators(GRID, CATALOG)[output]
    for limit in (1, 2, 99, 1000):
        alone = compute_indicators(GRID.tail(limit + warm_up([output])), [output])[output]
        assert alone[-limit:].tobytes() == everything[-limit:].tobytes()
        beside = compute_indicators(GRID.tail(limit + warm_up(CATALOG)), CATALOG, rows=limit)[output]
        assert len(beside) == limit
        assert beside[-limit:].tobytes() == everything[-limit:].tobytes()


@pytest.mark.parametrize("price", [0.1, 93_661.2, 1e-8, 123_456_789.12345678, 7e11])
@pytest.mark.parametrize("volume", [0.0, 3.7])
def test_a_flat_market_has_its_price_exactly_or_no_value(price, volume):
    found = {name: values[-1] for name, values in compute_indicators(flat(2500, price, volume), CATALOG).items()}
    levels = [name for name in found if name.startswith(("sma", "ema", "wma", "bollinger"))]
    assert {name: found[name] for name in levels} == dict.fromkeys(levels, price)
    zeros = [name for name in found if name.startswith(("macd", "roc", "atr", "natr", "obv", "accumulation"))]
    zeros = [name for name in zeros if name != "obv"]
    assert {name: found[name] for name in zeros} == dict.fromkeys(zeros, 0.0)
    undefined = ["rsi_7", "rsi_14", "stoch_k", "stoch_d", "cci_20", "williams_r_14", "mfi_14"]
    undefined += ["adx_14", "plus_di_14", "minus_di_14"]
    assert all(np.isnan(found[name]) for name in undefined)
    assert found["vwap"] == price if volume else np.isnan(found["vwap"])
    assert found["volume_sma_20"] == volume


@pytest.mark.parametrize("scale", [1.0, 1e-9, 3e6])
@pytest.mark.parametrize("seed", range(5))
def test_after_a_flat_stretch_every_value_is_in_its_range_and_the_close_inside_its_bands(seed, scale):
    grid = then_flat(walk(700, seed=seed, scale=scale), 400)
    found = compute_indicators(grid, CATALOG)
    for output, spec in OUTPUTS.items():
        if spec.value_range:
            low, high = spec.value_range
            values = found[output][np.isfinite(found[output])]
            assert ((values >= low) & (values <= high)).all(), output
    close, settled = grid.close[0], slice(700 + 19, None)
    for band in ("upper", "middle", "lower"):
        np.testing.assert_array_equal(found[f"bollinger_{band}"][settled], close[settled])
    inside = slice(19, None)
    assert (found["bollinger_lower"][inside] <= found["bollinger_upper"][inside]).all()
    # The index is a ratio that a standstill does not change; the other three lose the range they are a share of.
    np.testing.assert_allclose(found["rsi_14"][700:900], found["rsi_14"][699], rtol=1e-9)
    for name in ("stoch_k", "williams_r_14", "mfi_14", "cci_20"):
        assert np.isnan(found[name][725:]).all(), name
    assert np.isnan(found["rsi_14"][700 + 14 * 21 :]).all()


@pytest.mark.parametrize("power", [-50, -20, 20])
def test_values_without_a_unit_do_not_depend_on_the_level_of_the_price(power):
    scaled, found = compute_indicators(times(GRID, 2.0**power), CATALOG), compute_indicators(GRID, CATALOG)
    for output, spec in OUTPUTS.items():
        if spec.units in {"index", "percent", "percent of the close", "log return per candle"}:
            assert scaled[output].tobytes() == found[output].tobytes(), output
        elif spec.units in {"price", "price difference"}:
            np.testing.assert_array_equal(scaled[output], found[output] * 2.0**power, err_msg=output)


def test_vwap_of_a_market_listed_at_noon_starts_with_its_first_candle():
    grid = GRID.span(140, 400)
    found = compute_indicators(grid, ["vwap"])["vwap"]
    typical, traded = ((grid.high + grid.low + grid.close) / 3)[0], grid.volume[0]
    np.testing.assert_allclose(found[:148], (np.cumsum(typical * traded) / np.cumsum(traded))[:148], rtol=1e-12)
    assert found[148] == pytest.approx(typical[148])


def test_vwap_continues_after_a_halt_over_midnight_and_one_at_noon():
    halted = with_hole(with_hole(GRID, 280, 300), 400, 420)
    found = compute_indicators(halted, ["vwap"])["vwap"]
    assert np.isnan(found[280:300]).all()
    assert np.isfinite(found[300:400]).all()
    typical, traded = ((GRID.high + GRID.low + GRID.close) / 3)[0], GRID.volume[0]
    there = np.r_[300:400, 420:500]
    assert found[499] == pytest.approx((typical * traded)[there].sum() / traded[there].sum(), rel=1e-12)
    assert found[300] == pytest.approx(typical[300])
    assert found[576] == pytest.approx(typical[576])


def test_vwap_is_nan_until_the_first_trade():
    grid = flat(10)
    grid.volume[0, 4:] = 2.0
    found = compute_indicators(grid, ["vwap"])["vwap"]
    assert np.isnan(found[:4]).all()
    assert found[4:].tolist() == [0.1] * 6
