"""Replayed files are shifted by weeks, keep holes, and get generated values in empty columns."""

import numpy as np
import pandas as pd
import pytest

from indicators.candles import WEEK_MS
from marketdata.errors import UnknownSymbol
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.recorded.candle_files import UnreadableCandles
from marketdata.simulator.recorded.replay import Replay

RECORDED = 1_700_000_100_000 // INTERVAL_MS * INTERVAL_MS
NOW = RECORDED + 100 * WEEK_MS + 123_456_789
EMPTY = ["quote_volume", "trades", "taker_buy_base", "taker_buy_quote"]


def _frame(count=600, symbol="BTCUSDT"):
    klines = CandleGenerator((symbol,), seed=4).klines(symbol, RECORDED, RECORDED + count * INTERVAL_MS)
    return pd.DataFrame(klines._asdict())


def _write(folder, frame, name="BTCUSDT-5m.parquet"):
    path = folder / name
    frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path)
    return path


def test_time_of_day_and_weekday_are_preserved(tmp_path):
    start = RECORDED + 300 * INTERVAL_MS
    replay = Replay.of_files([_write(tmp_path, _frame())], start_ms=start, anchor_ms=NOW)
    assert replay.shift_ms % WEEK_MS == 0
    assert 0 <= NOW - replay.begin_ms < WEEK_MS
    assert replay.begin_ms == start + replay.shift_ms


def test_a_later_start_with_the_same_anchor_gives_the_same_candles(tmp_path):
    path = _write(tmp_path, _frame())
    first, second = (Replay.of_files([path], anchor_ms=NOW, then_invent=True) for _ in range(2))
    until = NOW + 10 * WEEK_MS
    assert first.klines("BTCUSDT", 0, until).rows() == second.klines("BTCUSDT", 0, until).rows()


def test_the_last_fifth_is_live_by_default(tmp_path):
    replay = Replay.of_files([_write(tmp_path, _frame(600))], anchor_ms=NOW)
    assert replay.start_ms == RECORDED + 480 * INTERVAL_MS


def test_recorded_values_are_unchanged(tmp_path):
    frame = _frame()
    shown = Replay.of_files([_write(tmp_path, frame)], anchor_ms=NOW).klines("BTCUSDT", 0, NOW + 10 * WEEK_MS)
    for name in frame.columns[1:]:
        assert (getattr(shown, name) == frame[name].to_numpy()).all()


def test_a_hole_stays_a_hole(tmp_path):
    frame = _frame().drop(index=range(100, 116))
    replay = Replay.of_files([_write(tmp_path, frame)], anchor_ms=NOW)
    assert len(replay.klines("BTCUSDT", 0, NOW + 10 * WEEK_MS).open_time) == 584
    hole = RECORDED + replay.shift_ms + 100 * INTERVAL_MS
    assert len(replay.klines("BTCUSDT", hole, hole + 16 * INTERVAL_MS).open_time) == 0


@pytest.mark.parametrize("name", ["BTCUSDT-5m.parquet", "BTCUSDT-5m.csv"])
def test_empty_columns_are_generated_plausibly_and_deterministically(tmp_path, name):
    frame = _frame()
    frame[EMPTY] = np.nan
    path = _write(tmp_path, frame, name)
    shown = Replay.of_files([path], anchor_ms=NOW).klines("BTCUSDT", 0, NOW + WEEK_MS)
    again = Replay.of_files([_write(tmp_path, frame.iloc[50:], name)], anchor_ms=NOW).klines(
        "BTCUSDT", 0, NOW + WEEK_MS
    )
    assert (shown.taker_buy_base[50:] == again.taker_buy_base).all()
    assert (shown.trades[50:] == again.trades).all()
    assert np.allclose(shown.quote_volume, frame["volume"] * frame["close"], rtol=0.02)
    assert (shown.taker_buy_base <= shown.volume).all()
    assert (shown.taker_buy_quote <= shown.quote_volume).all()
    assert (shown.trades[shown.volume > 0] > 0).all()


def test_generated_candles_continue_from_the_last_price(tmp_path):
    frame = _frame()
    frame[["open", "high", "low", "close"]] = (frame[["open", "high", "low", "close"]] / 5).round(2)
    replay = Replay.of_files([_write(tmp_path, frame)], anchor_ms=NOW, then_invent=True, seed=1)
    end = RECORDED + replay.shift_ms + 600 * INTERVAL_MS
    onward = replay.klines("BTCUSDT", end - INTERVAL_MS, end + 500 * INTERVAL_MS)
    assert replay.last_open("BTCUSDT") is None
    assert (np.diff(onward.open_time) == INTERVAL_MS).all()
    assert (onward.open[1:] == onward.close[:-1]).all()
    assert (onward.high >= np.maximum(onward.open, onward.close)).all()
    assert (onward.low <= np.minimum(onward.open, onward.close)).all()
    assert (onward.taker_buy_base <= onward.volume).all()


def test_a_folder_gives_all_its_five_minute_files(tmp_path):
    _write(tmp_path, _frame())
    _write(tmp_path, _frame(symbol="ETHUSDT"), "ETHUSDT-5m.csv")
    _write(tmp_path, _frame(), "BTCUSDT-15m.parquet")
    assert Replay.of_files([tmp_path], anchor_ms=NOW).symbols == ("BTCUSDT", "ETHUSDT")
    assert Replay.of_files([tmp_path], symbols=("ETHUSDT",), anchor_ms=NOW).symbols == ("ETHUSDT",)
    with pytest.raises(UnknownSymbol, match="no file for SOLUSDT"):
        Replay.of_files([tmp_path], symbols=("SOLUSDT",), anchor_ms=NOW)


BROKEN = {
    "lacks the columns volume": lambda frame: frame.drop(columns="volume"),
    "row 4: a high below another price": lambda frame: frame.assign(high=frame["high"].where(frame.index != 3, 1.0)),
    "row 4: a value that is not finite": lambda frame: frame.assign(close=frame["close"].where(frame.index != 3)),
    "row 4: a negative volume": lambda frame: frame.assign(volume=frame["volume"].where(frame.index != 3, -1.0)),
    "row 1: an open time that is not a multiple": lambda frame: frame.assign(open_time=frame["open_time"] * 1000 + 1),
    "not later than the one before": lambda frame: frame.iloc[::-1],
    "something that is not a number": lambda frame: frame.assign(open=["?"] * len(frame)),
    "holds no candle": lambda frame: frame.iloc[:0],
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_file_is_refused_with_the_reason(tmp_path, reason):
    path = _write(tmp_path, BROKEN[reason](_frame(20)))
    with pytest.raises(UnreadableCandles, match=reason):
        Replay.of_files([path], anchor_ms=NOW)


def test_a_file_without_candles_is_refused(tmp_path):
    truncated = _write(tmp_path, _frame())
    truncated.write_bytes(truncated.read_bytes()[:1000])
    with pytest.raises(UnreadableCandles, match="cannot be read"):
        Replay.of_files([truncated], anchor_ms=NOW)
    with pytest.raises(UnreadableCandles, match="there is no file"):
        Replay.of_files([tmp_path / "ETHUSDT-5m.parquet"], anchor_ms=NOW)
    with pytest.raises(UnreadableCandles, match="must be named"):
        Replay.of_files([tmp_path / "candles.parquet"], anchor_ms=NOW)


def test_a_start_outside_the_files_is_refused(tmp_path):
    with pytest.raises(UnreadableCandles, match="not within"):
        Replay.of_files([_write(tmp_path, _frame())], start_ms=RECORDED - 1, anchor_ms=NOW)


@pytest.mark.candles
def test_real_candles_can_be_replayed(candles_folder):
    replay = Replay.of_files([candles_folder], start_ms=1_735_689_600_000, anchor_ms=NOW)
    assert set(replay.symbols) >= {"BTCUSDT", "ETHUSDT"}
    first = replay.klines("BTCUSDT", replay.begin_ms, replay.begin_ms + 1).rows()[0]
    assert first.open == 93_576.00
