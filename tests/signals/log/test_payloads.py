"""Signals read for lists have the bytes of their instances."""

import random
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from marketdata import clock
from marketdata.models import Market
from mlengine_project.access import services
from mlengine_project.http.json_codec import write_json
from signals.log.payloads import LISTED, listed_object, signal_object
from signals.models import SignalLog
from tests.champions import BEGIN

NULLABLE = (
    "confidence",
    "horizon",
    "take_profit",
    "stop_loss",
    "p_take_profit",
    "p_stop_loss",
    "p_neither",
    "p_break_even",
    "expected_net_return",
    "outcome",
    "pnl_percent",
)
TEXTS = ({}, {"b": 'quoted "text"', "a": "a line\nand Español €"}, {"LOW_EDGE": "edge 0.5 < 0.6", "A": ""})


def signal(random, market, number):
    """A signal with values of every kind, each nullable one null in every third row."""
    instant = clock.to_datetime(BEGIN) + timedelta(microseconds=random.choice((0, 1, 120_000, 999_999)))
    row = SignalLog(
        market=market, symbol=market.symbol, seq=number, chain_index=number, seal="", previous_seal="",
        candle_time=clock.to_datetime(BEGIN + number * 300_000), made_at=instant, valid_until=instant,
        signal_type=random.choice(("buy", "sell", "hold")), horizon=random.choice((6, 72)),
        considered_side=random.choice(("", "buy", "sell")), fee_rate=random.choice((0.0, 0.001, 0.1 + 0.2)),
        entry_price=Decimal(random.choice(("0.00000001", "1", "64210.5", "99999999999.99999999"))),
        take_profit=Decimal(random.randrange(10**12)) / 10**8, stop_loss=Decimal("3E+2"),
        confidence=Decimal(random.choice(("0", "0.5", "0.6173", "1"))), expected_net_return=random.random() + 1e-9,
        p_take_profit=random.random(), p_stop_loss=1e-300, p_neither=0.1 + 0.2, p_break_even=1.0,
        reasons=random.choice(([], ["LOW_EDGE"], ["STALE_DATA", "LOW_EDGE"])), reason_details=random.choice(TEXTS),
        model_versions=random.choice(({}, {"range_predictor": str(uuid.uuid4()), "bracket": str(uuid.uuid4())})),
        simulated=random.random() < 0.5, outcome=random.choice(("tp", "sl", "timeout", "void")),
        pnl_percent=Decimal(random.randrange(-(10**9), 10**9)) / 10**4,
    )  # fmt: skip
    for name in NULLABLE:
        if random.random() < 1 / 3:
            setattr(row, name, None)
    if row.expected_net_return is None:
        row.signal_type = "hold"
    return row


@pytest.fixture
def signals(db):
    """Signals of every kind of value."""
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    drawn = random.Random(7)
    return SignalLog.objects.bulk_create([signal(drawn, market, number) for number in range(1, 301)])


def test_listed_signals_are_their_instances(signals):
    rows = SignalLog.objects.order_by("-candle_time")
    instances = list(rows)
    assert write_json([listed_object(row) for row in LISTED.read(rows)]) == write_json(list(map(signal_object, rows)))
    assert all(None in {getattr(row, name) for row in instances} for name in NULLABLE)


def test_page_of_signals_has_the_rows_and_links_of_instances(signals, client):
    headers, seen = {"X-API-Key": services.create_key("a reader", "read")[1]}, []
    link = "/signals?symbol=BTCUSDT&limit=70"
    while link:
        page = client.get(link, headers=headers).json()
        seen += page["results"]
        link = page["next"]
    expected = [signal_object(row) for row in SignalLog.objects.order_by("-candle_time")]
    assert write_json(seen) == write_json(expected)
    assert client.get("/signals?symbol=BTCUSDT&after=297", headers=headers).json()["results"] == expected[2::-1]
