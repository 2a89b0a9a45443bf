"""Candle files of other tools are read exactly or refused with line and advice."""

import gzip
import json
import zipfile
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from marketdata.models import Candle, CandleRevision
from marketdata.storage.fixed_point import float32_loss, read_column
from tests.marketdata.conftest import START, STEP
from tests.marketdata.files.test_importing import DUMP, OLD, dump_row, run, write_csv

HEADER = "open_time,open,high,low,close,volume"
DAY = 1_709_251_200_000  # 2024-03-01


def row(index, separator=",", time=None, **cells):
    values = {"o": "100.1", "h": "100.35015", "l": "99.95", "c": "100.3", "v": "6.5", **cells}
    return separator.join([str(DAY + index * STEP if time is None else time), *values.values()])


def write(folder, lines, name="BTCUSDT-5m.csv", end="\n", encoding="utf-8"):
    path = folder / name
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def stored(column="close"):
    return [str(cell) for cell in Candle.objects.order_by("open_time").values_list(column, flat=True)]


def frame(**columns):
    times = DAY + STEP * np.arange(3)
    return pd.DataFrame(
        {"open_time": times, "open": 100.1, "high": 100.35015, "low": 99.95, "close": 100.3, "volume": 6.5}
    ).assign(**columns)


ROWS = [HEADER, *(row(i) for i in range(3))]
QUOTED = [",".join(f'"{cell}"' for cell in line.split(",")) for line in ROWS]
COMMAS = [HEADER.replace(",", ";"), *(row(i, ";").replace(".", ",") for i in range(3))]
QUOTED_COMMAS = [HEADER, *(",".join(f'"{c}"' for c in row(i, ";").replace(".", ",").split(";")) for i in range(3))]
SAME = {
    "quoted": {"lines": QUOTED},
    "semicolons and decimal commas": {"lines": COMMAS},
    "quoted decimal commas": {"lines": QUOTED_COMMAS},
    "tabs": {"lines": [line.replace(",", "\t") for line in ROWS]},
    "bars": {"lines": [line.replace(",", "|") for line in ROWS]},
    "blanks after commas": {"lines": [line.replace(",", ", ") for line in ROWS]},
    "byte order mark": {"lines": ROWS, "encoding": "utf-8-sig"},
    "UTF-16": {"lines": ROWS, "encoding": "utf-16"},
    "CR alone": {"lines": ROWS, "end": "\r"},
    "CR LF": {"lines": ROWS, "end": "\r\n"},
    "link first": {"lines": ["https://www.example.org", *ROWS]},
    "blank lines": {"lines": ["", ROWS[0], "", *ROWS[1:], "", ""]},
    "newest first": {"lines": [ROWS[0], *ROWS[:0:-1]]},
    "repeated header": {"lines": [*ROWS[:2], HEADER, *ROWS[2:]]},
    "exponents": {"lines": [HEADER, *(row(i, o="1.001E2", c="1003e-1") for i in range(3))]},
    "float noise": {"lines": [HEADER, *(row(i, c="100.30000000000000004") for i in range(3))]},
    "whole floats as times": {"lines": [HEADER, *(row(i, time=f"{DAY + i * STEP}.0") for i in range(3))]},
    "camel case": {"lines": ["openTime,open,high,low,close,volume", *ROWS[1:]]},
    "words": {"lines": ["Open time,Open,High,Low,Close,Vol", *ROWS[1:]]},
    "a zone": {"lines": ["Datetime,Open,High,Low,Close,Volume", *(
        row(i, time=f"2024-03-01 00:{5 * i:02d}:00+00:00") for i in range(3))]},
    "another zone": {"lines": ["date,open,high,low,close,volume", *(
        row(i, time=f"2024-03-01T05:{30 + 5 * i:02d}:00+05:30") for i in range(3))]},
    "Z": {"lines": ["date,open,high,low,close,volume", *(
        row(i, time=f"2024-03-01T00:{5 * i:02d}Z") for i in range(3))]},
}  # fmt: skip


@pytest.mark.parametrize("form", SAME.values(), ids=SAME)
def test_the_same_candles_in_every_text_format(db, tmp_path, form):
    output, listed = run(write(tmp_path, **form))
    assert "3 inserted, 0 unchanged, 0 revised, 0 rejected" in output, listed
    assert list(Candle.objects.order_by("open_time").values_list("open_time", flat=True)) == [
        DAY + i * STEP for i in range(3)
    ]
    assert stored() == ["100.30000000"] * 3
    assert stored("volume") == ["6.50000000"] * 3


@pytest.mark.parametrize("pack", ["gz", "mac zip"])
def test_compressed_files(db, tmp_path, pack):
    content = ("\n".join(ROWS) + "\n").encode()
    path = tmp_path / ("BTCUSDT-5m.csv.gz" if pack == "gz" else "BTCUSDT-5m-2024-03.zip")
    if pack == "gz":
        path.write_bytes(gzip.compress(content))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("BTCUSDT-5m-2024-03.csv", content)
            archive.writestr("__MACOSX/._BTCUSDT-5m-2024-03.csv", b"\0\5\x16\7")
            archive.writestr("._other.csv", b"\0\5\x16\7")
    assert "3 inserted" in run(tmp_path)[0]
    assert stored() == ["100.30000000"] * 3


@pytest.mark.parametrize(
    ("lines", "sentences"),
    [
        ([HEADER, row(0), row(1, c="x")], ["line 3: close is not a number"]),
        ([HEADER, row(0), '"' + row(1)], ["line 3 has a quote that is not closed"]),
        ([HEADER, row(0), row(1) + ",7"], ["line 3: has 7 cells instead of 6"]),
        ([HEADER, row(0), HEADER.replace("open,high", "high,open"), row(1)], ["line 3 begins a table with other columns"]),
        (["time;open;high;low;close;volume", row(0, ";", o="100,100", h="100,200", l="100,000", c="100,150", v="1")], ["line 2", "thousands or decimals"]),
        ([COMMAS[0], COMMAS[1], row(1, ";")], ["line 3", "decimal point, other cells have commas"]),
        ([HEADER, row(0), row(1, time="1.7093e12")], ["line 3: open time is not milliseconds"]),
        ([HEADER, row(0), row(1, time=DAY // 1000)], ["line 3: open time is in seconds"]),
        ([HEADER, row(0), row(1, time=DAY * 10**6)], ["line 3: open time is in nanoseconds"]),
        ([HEADER, row(0), row(1, time=(START + STEP) * 1000)], ["line 3: open_time is in microseconds", "close_time"]),
        ([HEADER, row(0), row(1, time="01/03/2024 00:05")], ["line 3: open time is not milliseconds"]),
        ([HEADER, row(0, time="2024-03-01 00:00")], ["line 2: open_time 2024-03-01 00:00 names no zone", "--utc"]),
        (["when,first,top,bottom,last,amount", row(0)], ["line 1 is no header and no candle: 'when, first, top", "docs/files.md"]),
        ([f"{HEADER},Volume", f"{row(0)},1"], ["names a column twice in line 1: volume (volume and Volume)"]),
        (["pair," + HEADER, "BTC/USDT," + row(0), "ETH/USDT," + row(1)], ["line 3 is of ETH/USDT, not of BTCUSDT"]),
        ([HEADER + ",interval", row(0) + ",5m", row(1) + ",15m"], ["line 3 is of 15m, not of 5m"]),
        ([HEADER + ",market,timeframe", row(0) + ",crypto,M5", row(1) + ",crypto,H1"], ["line 3 is of H1, not of 5m"]),
        ([row(0), row(1)], ["has no header and 6 columns"]),
    ],
)  # fmt: skip
def test_an_unreadable_file_is_refused_with_its_line(db, tmp_path, lines, sentences):
    output, listed = run(write(tmp_path, lines))
    assert all(sentence in output for sentence in sentences), output + listed
    assert not Candle.objects.exists()


def test_times_without_a_zone_are_utc_only_with_the_option(db, tmp_path):
    lines = [HEADER, *(row(i, time=f"2024-03-01 00:{5 * i:02d}:00") for i in range(3))]
    assert "3 inserted" in run(write(tmp_path, lines), utc=True)[0]
    naive = frame(open_time=pd.to_datetime(DAY + STEP * np.arange(3), unit="ms"))
    naive.to_parquet(tmp_path / "ETHUSDT-5m.parquet")
    assert "row 1: open_time 2024-03-01 00:00:00" in run(tmp_path / "ETHUSDT-5m.parquet")[0]
    assert "3 inserted" in run(tmp_path / "ETHUSDT-5m.parquet", utc=True)[0]


def test_columns_of_other_tools_are_read_and_ignored_ones_reported(db, tmp_path):
    lines = [
        "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,num_trades,taker_base_vol,taker_quote_vol,sma_20,",
        *(f"{DAY + i * STEP},2024,BTCUSDT,5.1,5.3,5,5.2,10.5,53.1,7,4.5,23.1,9,x" for i in range(3)),
    ]
    path = write(tmp_path, lines)
    output, _ = run(path)
    assert "columns ignored: Date, sma_20, column 14 (no name)" in output
    row_of = Candle.objects.order_by("open_time").values_list(
        "quote_volume", "trades", "taker_buy_base", "taker_buy_quote"
    )
    assert row_of[0] == (Decimal("53.1"), 7, Decimal("4.5"), Decimal("23.1"))
    report = json.loads(run(path, json=True)[0].splitlines()[-1])
    assert report["ignored_columns"] == ["Date", "sma_20", "column 14 (no name)"]


def test_a_concatenated_file_may_change_from_milli_to_microseconds(db, tmp_path):
    rows = [dump_row(i, START - 2 * STEP, 1) for i in range(2)] + [dump_row(i, START, 1000) for i in range(2)]
    for header in (False, True):
        assert "line 1" not in run(write_csv(tmp_path, rows, header=header))[0]
        assert Candle.objects.count() == 4
    early = [dump_row(0, OLD, 1), dump_row(1, OLD, 1000)]
    assert "line 2: the exchange's dumps are in milliseconds before 2025" in run(write_csv(tmp_path, early))[0]


def test_a_concatenated_file_with_repeated_headers(db, tmp_path):
    path = write_csv(tmp_path, [dump_row(0), DUMP, dump_row(1), DUMP, dump_row(2)])
    output, _ = run(path)
    assert "2 repeated headers skipped: line 2, 4" in output
    assert "3 inserted" in output


def test_types_of_parquet_and_feather(db, tmp_path):
    texts = {name: pa.array(["100.1", "100.1", "100.1"]) for name in ("open", "high", "low", "close")}
    kinds = {
        "VIEW": {name: column.cast(pa.string_view()) for name, column in texts.items()},
        "DICT": {name: column.cast(pa.string_view()).cast(pa.string()).dictionary_encode() for name, column in texts.items()},
        "LARGE": {name: column.cast(pa.large_string()) for name, column in texts.items()},
        "DECIMAL": {name: column.cast(pa.decimal128(20, 3)) for name, column in texts.items()},
        "SINGLE": {name: pa.array([100.1] * 3, pa.float32()) for name in texts},
        "ZONE": {"open_time": pa.array([datetime(2024, 3, 1, 0, 5 * i, tzinfo=UTC) for i in range(3)], pa.timestamp("ns", "America/New_York"))},
        "FLOAT": {"open_time": pa.array((DAY + STEP * np.arange(3)).astype(float))},
    }  # fmt: skip
    table = pa.Table.from_pandas(frame(open=100.1, high=100.1, low=100.1, close=100.1), preserve_index=False)
    for name, columns in kinds.items():
        changed = table
        for column, cells in columns.items():
            changed = changed.set_column(changed.column_names.index(column), column, cells)
        pq.write_table(changed, tmp_path / f"{name}USDT-5m.parquet")
        assert "3 inserted" in run(tmp_path / f"{name}USDT-5m.parquet")[0], name
        assert set(stored()) == {"100.10000000"}, name
        assert set(Candle.objects.values_list("open_time", flat=True)) == {DAY + i * STEP for i in range(3)}
        Candle.objects.all().delete()
    feather.write_feather(table.rename_columns(["date", *table.column_names[1:]]), tmp_path / "BTC_USDT-5m.feather")
    assert "BTCUSDT 5m" in run(tmp_path / "BTC_USDT-5m.feather")[0]
    categories = pl.DataFrame(frame()).with_columns(pl.col("close").cast(pl.String).cast(pl.Categorical))
    categories.write_ipc(tmp_path / "CATUSDT-5m.feather")
    assert "3 inserted" in run(tmp_path / "CATUSDT-5m.feather")[0]


def test_a_float32_that_lost_digits_is_refused_and_one_that_did_not_revises_nothing(db, tmp_path):
    exact = frame(open=93661.2, high=93661.2, low=93661.2, close=93661.2)
    exact.to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    run(tmp_path / "BTCUSDT-5m.parquet")
    prices = ["open", "high", "low", "close"]
    exact.astype(dict.fromkeys(prices, "float32")).to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    assert "3 unchanged, 0 revised" in run(tmp_path / "BTCUSDT-5m.parquet")[0]
    lossy = frame(open=93661.2, high=93961.5546, low=93661.2, close=93661.2).astype(dict.fromkeys(prices, "float32"))
    lossy.to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    assert "high is float32, too coarse for its decimals from row 1 on" in run(tmp_path / "BTCUSDT-5m.parquet")[0]
    half = frame(close=pd.Series([100.3] * 3, dtype="float16"))
    pq.write_table(pa.Table.from_pandas(half), tmp_path / "BTCUSDT-5m.parquet")
    assert "close is halffloat" in run(tmp_path / "BTCUSDT-5m.parquet")[0]


def test_a_close_time_of_parquet_is_checked_like_that_of_csv(db, tmp_path):
    ends = DAY + STEP * np.arange(1, 4) - 1
    frame(close_time=ends).to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    assert "3 inserted" in run(tmp_path / "BTCUSDT-5m.parquet")[0]
    frame(close_time=pd.to_datetime(ends, unit="ms", utc=True)).to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    assert "3 unchanged" in run(tmp_path / "BTCUSDT-5m.parquet")[0]
    frame(close_time=[*ends[:2], ends[2] - 60_000]).to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    assert "row 3: close time is not the end of a 5m candle" in run(tmp_path / "BTCUSDT-5m.parquet")[0]


@pytest.mark.parametrize("inner", ["ETHUSDT-5m-2024-03.csv", "BTCUSDT-1h-2024-03.csv"])
def test_a_zip_with_another_market_or_interval_inside_is_refused(db, tmp_path, inner):
    path = tmp_path / "BTCUSDT-5m-2024-03.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(inner, "\n".join(dump_row(i) for i in range(3)))
    assert inner in run(path)[0]
    assert not Candle.objects.exists()


def test_a_mark_price_dump_under_the_spot_dump_s_name_is_refused(db, tmp_path):
    run(write_csv(tmp_path, [dump_row(i) for i in range(6)]))
    marks = write_csv(tmp_path, [dump_row(i, v=0, q=0, V=0, Q=0, n=300) for i in range(6)], header=True)
    output, _ = run(marks)
    assert "trades without volume in 6 of 6 rows" in output
    assert "--revise" in output
    assert not CandleRevision.objects.exists()
    assert stored("volume") == ["10.50000000"] * 6
    assert "6 revised" in run(marks, revise=True)[0]


def test_a_dump_that_contradicts_most_stored_candles_is_refused(db, tmp_path):
    run(write_csv(tmp_path, [dump_row(i) for i in range(6)]))
    other = write_csv(tmp_path, [dump_row(i, v="11.5") for i in range(4, 30)])
    output, _ = run(other)
    assert "differs from 2 of the 2 candles that are stored already (first at 2023-11-14 22:35 UTC)" in output
    assert "--revise" in output
    assert Candle.objects.count() == 6
    half = write_csv(tmp_path, [dump_row(i, v="11.5" if i < 3 else "10.5") for i in range(6)])
    assert "3 unchanged, 3 revised" in run(half)[0]
    assert "24 inserted, 0 unchanged, 2 revised" in run(write_csv(tmp_path, [dump_row(i, v="12.5") for i in range(4, 30)]), revise=True)[0]  # fmt: skip


@pytest.mark.parametrize("place", ["futures/um/monthly", "data/markPriceKlines", "premiumIndexKlines"])
def test_a_path_of_the_exchange_s_archive_that_is_not_spot_is_refused(db, tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    write_csv(folder, [dump_row(i) for i in range(3)])
    assert "futures or of mark or index prices; --revise" in run(tmp_path)[0]
    assert "3 inserted" in run(tmp_path, revise=True)[0]


@given(st.decimals(0, 10**9, places=12), st.sampled_from(["text", "float", "exponent"]))
def test_csv_and_parquet_round_equally(number, form):
    texts = {"text": f"{number}", "float": repr(float(number)), "exponent": f"{number:e}"}
    expected = Decimal(texts[form]).quantize(Decimal("0.00000001"))
    read = read_column(pa.array([float(number)]) if form == "float" else pa.array([texts[form]]))
    assert read.at(0) == expected


@given(st.integers(0, 10**6), st.integers(0, 3))
def test_a_float32_of_six_digits_is_the_decimal_it_was_written_from(digits, places):
    number = Decimal(digits).scaleb(-places)
    column = pa.array([float(number)], pa.float32())
    assert float32_loss(column) is None
    assert read_column(column).at(0) == number
