"""The strict parser accepts the exchange's own messages and refuses all invalid ones."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.errors import MalformedCandle
from marketdata.exchange.parsing import (
    CandleRow,
    early_closes,
    off_grid_open,
    parse_kline_page,
    parse_kline_row,
    parse_stream_frame,
)

OPEN = 1_624_297_800_000
STEP = 300_000
KLINE = {
    "t": OPEN, "T": OPEN + STEP - 1, "s": "BTCUSDT", "i": "5m", "f": 922694338, "L": 922699921,
    "o": "32208.66000000", "c": "32206.08000000", "h": "32285.42000000", "l": "32162.66000000", "v": "335.17413900",
    "n": 5584, "x": True, "q": "10793596.96728088", "V": "161.43417800", "Q": "5198989.96471057", "B": "0",
}  # fmt: skip
ROW = [
    OPEN, "32208.66000000", "32285.42000000", "32162.66000000", "32206.08000000", "335.17413900", OPEN + STEP - 1,
    "10793596.96728088", 5584, "161.43417800", "5198989.96471057", "0",
]  # fmt: skip
SYMBOLS = frozenset({"BTCUSDT"})


def message(**changes):
    kline = {**KLINE, **changes}
    kline = {key: value for key, value in kline.items() if value is not ...}
    return {"e": "kline", "E": OPEN + STEP + 120, "s": "BTCUSDT", "k": kline}


def test_a_recorded_message_is_parsed():
    symbol, row = parse_stream_frame(message(), SYMBOLS)
    assert (symbol, row) == ("BTCUSDT", parse_kline_row(ROW))
    assert row.close == Decimal("32206.08")
    wrapped = {"stream": "btcusdt@kline_5m", "data": message()}
    assert parse_stream_frame(wrapped, SYMBOLS) == (symbol, row)
    assert parse_stream_frame(message(x=False), SYMBOLS) is None


NOT_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "",
    None,
    True,
    math.nan,
    32208.66,
    7,
    "1e4",
    " 1",
    "1_000",
    "٣",
    "0x1",
    "+1",
    "1.",
    ".5",
    "1,5",
    [],
    {},
]
INVALID = (
    [{key: raw} for key in "ohlcvqVQ" for raw in NOT_NUMBERS]
    + [{key: "-1.00000000"} for key in "ohlcvqVQ"]
    + [{key: "0.00000000"} for key in "ohlc"]
    + [{key: "32208.660000001"} for key in "ohlcv"]
    + [{key: "9" * 22} for key in "ohlcv"]
    + [{key: "9" * 5000} for key in "ohlcv"]
    + [
        {"h": "32162.65", "l": "32162.66"},
        {"c": "32285.43"},
        {"c": "32162.65"},
        {"o": "40000"},
        {"V": "335.2"},
        {"Q": "10793596.97"},
        {"t": OPEN + 1},
        {"t": OPEN // 1000},
        {"t": OPEN * 1000, "T": (OPEN + STEP) * 1000 - 1},
        {"t": 0, "T": STEP - 1},
        {"t": -OPEN},
        {"t": str(OPEN)},
        {"t": float(OPEN)},
        {"t": True},
        {"t": 10**400},
        {"t": OPEN + 86_400_000, "T": OPEN + 86_400_000 + STEP - 1},
        {"t": OPEN + STEP, "T": OPEN + 2 * STEP - 1},
        {"T": OPEN + STEP},
        {"T": OPEN},
        {"T": None},
        {"x": ...},
        {"x": "true"},
        {"x": 1},
        {"x": None},
        {"s": "ETHUSDT"},
        {"s": "btcusdt"},
        {"s": "BtcUsdt"},
        {"s": "币安USDT"},
        {"s": None},
        {"i": "1m"},
        {"i": "5M"},
        {"i": ...},
        {"n": -1},
        {"n": "5584"},
        {"n": 1.0},
        {"n": True},
        {"n": 2**63},
    ]
)  # fmt: skip


@pytest.mark.parametrize("changes", INVALID, ids=lambda changes: ascii(changes)[:60])
def test_an_invalid_frame_is_refused_with_a_reason(changes):
    with pytest.raises(MalformedCandle, match=r"\w"):
        parse_stream_frame(message(**changes), SYMBOLS)


@pytest.mark.parametrize("cut", [[], ROW[:11], [*ROW, "0"], None, "row", {"0": 1}, 5])
def test_a_row_of_another_shape_is_refused(cut):
    with pytest.raises(MalformedCandle):
        parse_kline_row(cut)


def test_a_candle_cut_short_by_a_halt_is_accepted():
    halted = [
        OPEN,
        *["28080.00000000"] * 4,
        "0.00000000",
        OPEN + 122_646,
        "0.00000000",
        0,
        "0.00000000",
        "0.00000000",
        "0",
    ]
    assert parse_kline_row(halted).volume == 0
    traded = [*ROW[:6], OPEN + 194_787, *ROW[7:]]
    assert parse_kline_row(traded).volume == Decimal("335.17413900")
    page = [ROW, [OPEN + STEP, *traded[1:6], OPEN + STEP + 194_787, *traded[7:]]]
    assert early_closes(page, parse_kline_page(page, OPEN, OPEN + 2 * STEP)[0]) == {OPEN + STEP: OPEN + STEP + 194_787}


@pytest.mark.parametrize("close", [OPEN - 1, OPEN, OPEN + STEP, OPEN + 2 * STEP - 1, (OPEN + 194_787) * 1000])
def test_a_wrong_close_time_of_a_traded_candle_is_refused(close):
    with pytest.raises(MalformedCandle):
        parse_kline_row([*ROW[:6], close, *ROW[7:]])


@pytest.mark.parametrize(
    ("changes", "is_apart"),
    [
        ({0: OPEN + 194_789, 6: OPEN + 194_789 + STEP - 1}, True),
        ({0: OPEN + 60_000, 6: OPEN + 60_000 + STEP - 1}, True),
        ({0: OPEN + 194_789, 6: OPEN + 194_789 + 5_000}, True),
        ({0: OPEN + 194_789}, True),
        ({0: OPEN + 194_789, 6: OPEN + 2 * STEP + STEP}, False),
        ({0: OPEN + 194_789, 6: OPEN + 194_789 + STEP - 1, 2: "1.0"}, False),
        ({0: (OPEN + 194_789) * 1000, 6: (OPEN + 194_789 + STEP) * 1000 - 1}, False),
        ({0: "x"}, False),
        ({}, False),
    ],
)
def test_a_valid_candle_off_the_grid_is_distinguished_from_a_broken_row(changes, is_apart):
    row = [changes.get(place, cell) for place, cell in enumerate(ROW)]
    assert (off_grid_open(row) is not None) is is_apart


def test_a_frame_that_was_cut_short_is_refused_and_left_to_rest():
    with pytest.raises(MalformedCandle, match="fetched over REST"):
        parse_stream_frame(message(T=OPEN + 194_787), SYMBOLS)


def test_volumes_beyond_10_to_the_12_are_accepted():
    assert parse_kline_row([*ROW[:5], "1000000000000.5", *ROW[6:]]).volume == Decimal("1000000000000.5")


def rows(*indexes):
    return [[OPEN + i * STEP, *ROW[1:6], OPEN + (i + 1) * STEP - 1, *ROW[7:]] for i in indexes]


def test_a_page_is_split_into_good_and_bad():
    good, bad = parse_kline_page(rows(0, 2, 1, 2, 3), OPEN, OPEN + 3 * STEP)
    assert [row.open_time for row in good] == [OPEN, OPEN + 2 * STEP]
    assert [reason.rsplit(" ", 3)[0] for _, reason in bad[:2]]
    assert len(bad) == 3
    assert parse_kline_page([], OPEN, OPEN + STEP) == ([], [])


@pytest.mark.parametrize("page", [{"code": -1003}, "<html>", None, rows(*range(1001)), True])
def test_a_value_that_is_not_a_page_is_refused(page):
    with pytest.raises(MalformedCandle):
        parse_kline_page(page, OPEN, OPEN + 2000 * STEP)


def test_a_message_shows_little_of_a_large_value():
    large = [{str(i) * 6 + str(j): "\U00018cd6" * 20 for j in range(4)} for i in range(4)]
    with pytest.raises(MalformedCandle) as error:
        parse_stream_frame(message(T=large), SYMBOLS)
    assert len(str(error.value)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(JSON, st.sampled_from(sorted(KLINE)))
def test_no_json_value_breaks_the_parser(value, key):
    for payload in (
        value,
        {"e": "kline", "k": value},
        message(**{key: value}),
        {"stream": value, "data": value},
    ):
        try:
            read = parse_stream_frame(payload, SYMBOLS)
        except MalformedCandle as error:
            reason = str(error)
        else:
            reason = "read"
            assert read is None or is_valid(read[1])
        assert 0 < len(reason) < 400
    good, bad = parse_kline_page([value, ROW], OPEN, OPEN + STEP)
    assert [row.open_time for row in good] == [OPEN]
    assert len(bad) == 1


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 10**20 - 1), min_size=4, max_size=4), st.integers(0, 10**28), st.integers(1, 2000))
def test_every_valid_candle_is_parsed_exactly(cents, volume, day):
    low, first, second, high = sorted(Decimal(cent).scaleb(-8) for cent in cents)
    if high >= 10**12 - 1:
        return
    opens = OPEN + day * 86_400_000
    cells = [
        opens,
        *(f"{p:.8f}" for p in (first, high, low, second)),
        f"{Decimal(volume).scaleb(-8):.8f}",
        opens + STEP - 1,
        "0",
        0,
        "0",
        "0",
        "0",
    ]
    row = parse_kline_row(json.loads(json.dumps(cells)))
    assert (row.open, row.high, row.low, row.close, row.volume) == (
        first,
        high,
        low,
        second,
        Decimal(volume).scaleb(-8),
    )


def is_valid(row: CandleRow) -> bool:
    return 0 < row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high


@pytest.mark.candles
def test_recorded_payloads_are_parsed(candles_folder):
    folder = candles_folder / "binance_payloads"
    frames = json.loads((folder / "ws_kline_5m_BTCUSDT_2021-06-21_across_close.json").read_text())
    closed = [parsed for frame in frames if (parsed := parse_stream_frame(frame, SYMBOLS)) is not None]
    assert [row.close for _, row in closed] == [Decimal("32206.08")]
    for name, interval, count in (
        ("rest_klines_BTCUSDT_15m_2024-12-30.json", "15m", 672),
        ("rest_klines_BTCUSDT_1h_2023-03.json", "1h", 743),
    ):
        read = [parse_kline_row(row, interval) for row in json.loads((folder / name).read_text())]
        assert len(read) == count
