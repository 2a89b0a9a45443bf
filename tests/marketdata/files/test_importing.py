"""Candle files are imported completely or refused with line and reason."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from marketdata.coverage.ledger import coverage_of
from marketdata.files.readers import DumpError, read_file
from marketdata.models import Candle, CandleRevision, Market
from marketdata.storage import candles as store
from marketdata.storage.fixed_point import read_column
from tests.marketdata.conftest import START, STEP

DUMP = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
OLD = 1_700_000_100_000


def dump_row(index, start=OLD, unit=1, **changes):
    opens = start + index * STEP
    cells = {
        "t": opens * unit, "o": "5.10000000", "h": "5.30000000", "l": "5.00000000", "c": "5.20000000", "v": "10.5",
        "T": (opens + STEP) * unit - 1, "q": "53.1", "n": 7, "V": "4.5", "Q": "23.1", "x": 0,
    }  # fmt: skip
    return ",".join(str(cell) for cell in {**cells, **changes}.values())


def write_csv(folder, rows, name="BTCUSDT-5m-2023-11.csv", header=False):
    path = folder / name
    path.write_text("\n".join([*([DUMP] if header else []), *rows]) + "\n")
    return path


def write_parquet(folder, name="BTCUSDT-5m.parquet", **columns):
    frame = pd.DataFrame(
        {"open_time": START + STEP * np.arange(5), "open": 5.1, "high": 5.3, "low": 5.0, "close": 5.2, "volume": 10.5}
    ).assign(**columns)
    path = folder / name
    frame.to_parquet(path)
    return path


def run(*arguments, **options):
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("import_candles", *map(str, arguments), stdout=out, stderr=err, **options)
    except CommandError as error:
        return str(error), err.getvalue()
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize(("start", "unit"), [(OLD, 1), (START, 1000), (START, 1)])
def test_the_exchange_s_dumps_are_imported_with_and_without_header_in_either_unit(db, tmp_path, header, start, unit):
    path = write_csv(tmp_path, [dump_row(i, start, unit) for i in range(4)], header=header)
    run(path)
    candles = list(Candle.objects.order_by("open_time").values_list("open_time", "close", "trades", "taker_buy_quote"))
    assert [(c[0], str(c[1]), c[2], str(c[3])) for c in candles] == [
        (start + i * STEP, "5.20000000", 7, "23.10000000") for i in range(4)
    ]


def test_microseconds_before_2025_are_refused(db, tmp_path):
    output, listed = run(write_csv(tmp_path, [dump_row(i, OLD, 1000) for i in range(4)]))
    assert "4 rows are bad" in output
    assert "milliseconds before 2025" in listed
    assert not Candle.objects.exists()


def test_a_zip_is_checked_against_the_checksum_beside_it(db, tmp_path):
    path = tmp_path / "ETHUSDT-5m-2023-11.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ETHUSDT-5m-2023-11.csv", "\n".join(dump_row(i) for i in range(400)))
    beside = tmp_path / "ETHUSDT-5m-2023-11.zip.CHECKSUM"
    beside.write_text(f"{'0' * 64}  {path.name}\n")
    assert "SHA-256" in run(path)[0]
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    run(tmp_path)
    assert Candle.objects.filter(market__symbol="ETHUSDT").count() == 400
    beside.unlink()
    path.write_bytes(path.read_bytes()[:-200])
    assert "corrupt" in run(path)[0]


def test_a_truncated_parquet_file_gives_one_sentence(db, tmp_path):
    path = write_parquet(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "corrupt" in run(path)[0]
    assert not Market.objects.exists()


def test_bytes_that_are_not_text_give_one_sentence(db, tmp_path, capsys):
    path = tmp_path / "BTCUSDT-5m.csv"
    path.write_bytes(b"open_time,open,high,low,close,volume\n\xed\x00\xff\n1,2\n")
    output = run(path)[0]
    assert "corrupt or does not match its extension: it is not text" in output
    assert "Traceback" not in capsys.readouterr().err


BAD_ROWS = {
    "o": ("nan", "open is not a number"),
    "h": ("4.9", "high is below low"),
    "l": ("-1", "low is not a number"),
    "c": ("9", "close is outside low to high"),
    "v": ("", "volume is missing"),
    "q": ("1e5x", "quote_volume is not a number"),
    "n": ("1.5", "trades is not a whole number"),
    "V": ("11", "taker_buy_base is more than volume"),
    "t": (OLD + 7, "open time is not a multiple"),
    "T": (OLD + 2 * STEP, "close time is not the end"),
}


@pytest.mark.parametrize(("cell", "value", "reason"), [(k, *v) for k, v in BAD_ROWS.items()])
def test_a_bad_row_is_listed_and_only_skip_bad_imports_the_others(db, tmp_path, cell, value, reason):
    rows = [dump_row(i) for i in range(6)]
    rows[2] = dump_row(2, **{cell: value})
    path = write_csv(tmp_path, rows, header=True)
    output, listed = run(path)
    assert "1 rows are bad, 5 are good, nothing was imported" in output
    assert f"line 4: {reason}" in listed
    assert not Candle.objects.exists()
    output, listed = run(path, skip_bad=True)
    assert "5 inserted" in output
    assert "line 4" in listed
    assert Candle.objects.count() == 5


def test_ragged_repeated_and_unordered_rows(db, tmp_path):
    rows = [dump_row(3), dump_row(0), "1,2,3", dump_row(0, c="5.25"), "", dump_row(1)]
    output, listed = run(write_csv(tmp_path, rows), skip_bad=True)
    assert "3 inserted" in output
    assert listed.splitlines()[-2:] == [
        "line 3: has 3 cells instead of 12",
        "line 4: open time repeats that of line 2",
    ]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"high": np.nan}, "5 rows are bad"),
        ({"low": -1.0}, "5 rows are bad"),
        ({"open_time": START + 3 * STEP * np.arange(5)}, "15 minutes apart"),
        ({"open_time": START + 60_000 * np.arange(5)}, "1 minutes apart"),
        ({"open_time": (START + STEP * np.arange(5)) * 1000}, "microseconds"),
        ({"open_time": (START + STEP * np.arange(5)) // 1000}, "5 rows are bad"),
        ({"open_time": [START] * 5}, "4 rows are bad"),
        ({"open_time": ["a"] * 5}, "not milliseconds"),
        ({"open": ["x"] * 5}, "5 rows are bad"),
    ],
)
def test_bad_parquet_files(db, tmp_path, columns, sentence):
    assert sentence in run(write_parquet(tmp_path, **columns))[0]
    assert not Candle.objects.exists()


def test_files_without_candles(db, tmp_path):
    (tmp_path / "BTCUSDT-5m.csv").write_text("open_time,open\n1,2\n")
    assert "lacks high, low, close, volume" in run(tmp_path / "BTCUSDT-5m.csv")[0]
    assert "does not name its symbol" in run(write_parquet(tmp_path, "candles.parquet"))[0]
    assert "holds 1h candles" in run(write_parquet(tmp_path, "BTCUSDT-1h.parquet"))[0]
    assert "cannot be read" in run(tmp_path / "BTCUSDT-5m-none.csv")[0]
    assert "end in" in run(tmp_path / "BTCUSDT-5m.txt")[0]
    assert not Market.objects.exists()


def test_a_market_is_created_and_a_second_source_is_not_enabled(db, tmp_path):
    path = write_parquet(tmp_path)
    run(path)
    run(path, source="simulated")
    assert list(Market.objects.order_by("id").values_list("source", "enabled")) == [
        ("exchange", True),
        ("simulated", False),
    ]


def test_importing_again_changes_nothing_and_a_difference_is_a_revision(db, tmp_path):
    path = write_parquet(tmp_path)
    assert "5 inserted" in run(path)[0]
    assert "0 inserted, 5 unchanged, 0 revised" in run(path)[0]
    changed = write_parquet(tmp_path, close=[5.2, 5.21, 5.2, 5.2, 5.2], quote_volume=[1.0, 2.0, None, 4.0, 5.0])
    assert "0 inserted, 4 unchanged, 1 revised" in run(changed)[0]
    assert CandleRevision.objects.get().open_time == START + STEP
    stored = list(Candle.objects.order_by("open_time").values_list("quote_volume", flat=True))
    assert [None if q is None else float(q) for q in stored] == [1, 2, None, 4, 5]


def test_large_amounts_and_small_prices_are_stored_exactly(db, tmp_path):
    path = write_csv(
        tmp_path,
        [
            dump_row(
                0,
                o="0.00000812",
                h="0.00000813",
                l="0.00000811",
                c="0.00000812",
                v="1234567890123.12345678",
                V="1",
                q="2",
                Q="1",
            )
        ],
    )
    run(path)
    candle = Candle.objects.get()
    assert (str(candle.volume), str(candle.low)) == ("1234567890123.12345678", "0.00000811")


def test_an_export_is_imported_unchanged(db, tmp_path):
    run(write_csv(tmp_path, [dump_row(i) for i in range(20)]))
    market = Market.objects.get()
    before = store.load_span([market], OLD, OLD + 20 * STEP)
    for kind in ("parquet", "csv"):
        call_command("export_candles", str(tmp_path / kind), format=kind, stdout=io.StringIO())
        output = run(tmp_path / kind / f"BTCUSDT-5m.{kind}")[0]
        assert "20 unchanged, 0 revised, 0 rejected" in output
    assert np.array_equal(before.close, store.load_span([market], OLD, OLD + 20 * STEP).close)


def test_amounts_beyond_float_precision_are_exported_and_imported_unchanged(db, tmp_path):
    rows = [dump_row(i, v="1234567890123.12345678", V="1", q="98765432109.87654321", Q="1") for i in range(3)]
    run(write_csv(tmp_path, rows))
    call_command("export_candles", str(tmp_path / "out"), stdout=io.StringIO())
    assert "3 unchanged, 0 revised, 0 rejected" in run(tmp_path / "out" / "BTCUSDT-5m.parquet")[0]
    columns = pq.read_schema(tmp_path / "out" / "BTCUSDT-5m.parquet")
    assert columns.field("close").type == pa.float64()
    assert pa.types.is_decimal(columns.field("volume").type)


def test_the_ledger_of_an_import_names_its_holes(db, tmp_path):
    run(write_csv(tmp_path, [dump_row(i) for i in (0, 1, 2, 5, 6, 7, 8)]))
    ledger = coverage_of(Market.objects.get())
    assert (ledger.expected, ledger.stored, ledger.missing) == (9, 7, 2)
    out = io.StringIO()
    call_command("candles_quality", "--json", stdout=out)
    output = json.loads(out.getvalue())
    assert (output["missing"], len(output["holes"])) == (2, 1)


@pytest.mark.candles
def test_real_candles_are_imported_completely(db, candles_folder):
    output = run(candles_folder / "full12" / "BTCUSDT-5m.parquet")[0]
    assert "1,931 inserted, 0 unchanged, 0 revised, 0 rejected" in output
    assert "304" not in output
    assert str(Candle.objects.order_by("open_time")[0].close) == "23277.42000000"


def test_a_candle_stored_while_a_file_is_copied_is_compared(db, tmp_path, monkeypatch):
    rows = [dump_row(i) for i in range(6)]
    run(write_csv(tmp_path, rows[2:3]))
    monkeypatch.setattr(store, "count_stored", lambda *_: 0)
    rows[2] = dump_row(2, c="5.25")
    assert "5 inserted, 0 unchanged, 1 revised" in run(write_csv(tmp_path, rows))[0]
    assert {str(v) for v in Candle.objects.values_list("volume", flat=True)} == {"10.50000000"}
    assert set(Candle.objects.values_list("origin", "revision")) == {("import", 0), ("import", 1)}


def test_every_float_is_read_as_the_decimal_it_was_written_from():
    draws = np.random.default_rng(1)
    scaled = np.concatenate([draws.integers(1, 2**26 * 10**8 - 1, 20_000), [1, 10**8 - 1, 2**26 * 10**8 - 1]])
    texts = [f"{n // 10**8}.{n % 10**8:08d}" for n in scaled.tolist()]
    column = read_column(pa.array([float(text) for text in texts]))
    assert [f"{column.at(i):.8f}" for i in range(len(texts))] == texts


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)], ids=["encrypted", "packed in an unknown way"])
def test_an_unreadable_zip_is_reported_in_one_sentence(tmp_path, offset, value):
    path = tmp_path / "BTCUSDT-5m-2024-01.zip"
    with zipfile.ZipFile(path, "w") as dump:
        dump.writestr("BTCUSDT-5m-2024-01.csv", "1,2,3\n")
    packed = bytearray(path.read_bytes())
    packed[packed.index(b"PK\x01\x02") + offset] = value  # as the directory at its end has it
    path.write_bytes(packed)
    with pytest.raises(DumpError, match="corrupt or does not match its extension"):
        read_file(path)
