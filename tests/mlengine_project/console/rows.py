"""A few plausible rows of every table, as written by the engine."""

import hashlib
from copy import deepcopy
from datetime import timedelta
from decimal import Decimal
from functools import cache

import numpy as np
from django.contrib.auth import get_user_model

from marketdata import clock
from marketdata.models import (
    AbsentStretch,
    Candle,
    CandleBlock,
    CandleRevision,
    CutShortCandle,
    ExchangeState,
    Market,
    QuarantinedMessage,
    SuspectedStretch,
)
from mlengine_project.access import services as access
from mlengine_project.access.models import KnownAddress, WebsocketTicket
from mlengine_project.operations.models import Counter, Heartbeat, Job
from modelregistry.evaluation.reports.version_comparison import comparison_report
from modelregistry.evaluation.significance.pooled import CellLosses
from modelregistry.models import Kind, ModelVersion, PromotionEvent, TrainingTrial
from modelregistry.registry.comparisons import keep
from predictions.models import ChainCut, ChainHead, ChallengerLog, PredictionLog
from signals.models import OutboxMessage, SignalLog, SignalSwitch, SymbolSequence

STEP = 300_000
BEGIN = 1_735_689_600_000
HORIZONS = (6, 18, 36, 72)
CHAMPIONS = {kind.value: f"champion of {kind.value}" for kind in Kind}


def market(symbol="BTCUSDT", source="simulated", **fields):
    return Market.objects.create(symbol=symbol, source=source, **fields)


def candles(of, count=120, until=BEGIN, price=100):
    """`count` candles, the last closed at `until`; the price rises by a tenth each."""
    first = until - count * STEP
    rows = []
    for i in range(count):
        level = Decimal(price) + Decimal(i) / 10
        rows.append(
            Candle(
                market=of,
                open_time=first + i * STEP,
                open=level,
                high=level + 1,
                low=level - 1,
                close=level,
                volume=Decimal(5),
                origin="rest",
            )
        )
    Candle.objects.bulk_create(rows)
    return rows


def quantiles(price, widths):
    return [f"{price * (1 + width):.8f}" for width in widths]


def prediction(of, horizon, open_ms=BEGIN - STEP, price=100.0, index=None, **fields):
    """A prediction at one candle; bands widen with the horizon."""
    at = clock.to_datetime(open_ms)
    unit = 0.001 * horizon**0.5
    high = quantiles(price, [unit * k for k in (1, 2, 3, 4, 5, 6, 7)])
    low = quantiles(price, [-unit * k for k in (7, 6, 5, 4, 3, 2, 1)])
    index = PredictionLog.objects.filter(market=of).count() + 1 if index is None else index
    values = {
        "market": of,
        "symbol": of.symbol,
        "horizon": horizon,
        "candle_time": at,
        "ensemble": "e" * 64,
        "model_versions": CHAMPIONS,
        "made_at": at + timedelta(seconds=302),
        "valid_until": at + timedelta(seconds=615),
        "current_price": Decimal(str(price)),
        "predicted_high": Decimal(high[3]),
        "predicted_low": Decimal(low[3]),
        "high_quantiles": high,
        "low_quantiles": low,
        "data_age_seconds": 2.0,
        "simulated": of.simulated,
        "chain_index": index,
        "seal": hashlib.sha256(f"{of.pk} {index}".encode()).hexdigest(),
        "previous_seal": "0" * 64,
    }
    return PredictionLog.objects.create(**{**values, **fields})


def signal(of, seq=1, open_ms=BEGIN - STEP, **fields):
    """A hold with a reason, unless `fields` differ."""
    at = clock.to_datetime(open_ms)
    values = {
        "market": of,
        "symbol": of.symbol,
        "seq": seq,
        "candle_time": at,
        "made_at": at + timedelta(seconds=302),
        "valid_until": at + timedelta(seconds=615),
        "signal_type": "hold",
        "entry_price": Decimal(100),
        "fee_rate": 0.001,
        "reasons": ["OUT_OF_DISTRIBUTION"],
        "simulated": of.simulated,
        "chain_index": seq,
        "seal": "a" * 64,
        "previous_seal": "0" * 64,
    }
    return SignalLog.objects.create(**{**values, **fields})


BUY = {
    "signal_type": "buy",
    "reasons": [],
    "considered_side": "buy",
    "horizon": 36,
    "take_profit": Decimal("101.5"),
    "stop_loss": Decimal("99.25"),
    "confidence": Decimal("0.4200"),
    "p_take_profit": 0.42,
    "p_stop_loss": 0.43,
    "p_neither": 0.15,
    "p_break_even": 0.395,
    "expected_net_return": 0.0012,
}


def version(kind="range_predictor", stage="candidate", seed=0, accepted=True, report=None, **fields):
    """A version without an artifact, for display only."""
    until = clock.to_datetime(BEGIN)
    return ModelVersion.objects.create(
        kind=kind,
        source=fields.pop("source", "simulated"),
        stage=stage,
        digest=hashlib.sha256(f"{kind} {seed}".encode()).hexdigest(),
        symbols=["BTCUSDT"],
        horizons=list(HORIZONS),
        feature_hash="f" * 64,
        trained_from=until - timedelta(days=100),
        trained_until=until,
        row_count=28_000,
        seed=seed,
        report=REPORT if report is None else report,
        gate_accepted=accepted,
        gate_reasons=[] if accepted else ["horizon 72: not significantly above 0"],
        **fields,
    )


@cache
def invented_comparison(days):
    """Result of a comparison on invented losses: one version is a little better at the first horizon alone."""
    rng = np.random.default_rng(5)
    when = np.arange(days * 288) * STEP + BEGIN
    cells = {}
    for horizon, gain in zip(HORIZONS, (0.03, 0.004, -0.002, -0.03), strict=True):
        theirs = 0.001 * horizon**0.5 * rng.gamma(2.0, 1.0, len(when))
        noise = 0.02 * rng.normal(size=days).repeat(288)
        cells["BTCUSDT", horizon] = CellLosses(theirs * (1 - gain + noise), theirs, when)
    return {"symbols": ["BTCUSDT"], "stride": 1, **comparison_report(cells, 1)}


def comparison(first, second, days=40, **fields):
    """A kept comparison of two versions, of which the first is a little better at the first horizon alone."""
    result = deepcopy(invented_comparison(days))
    return keep(first, second, BEGIN, BEGIN + days * 288 * STEP, result, fields.pop("actor", "olga"))


def refresh_report(report, accepted=True):
    """The report with the verdict of the refresh rule."""
    versus = {"evidence": "later candles", "days": 41, "later_days": 41, "gain": -0.12, "error": 0.1, "lower": -0.32}
    reasons = [] if accepted else ["not enough candles since the training of the champion: 12 of 30 days"]
    verdict = {"accepted": accepted, "reasons": reasons, "margin": 0.5}
    return {**report, "versus_champion": {**versus, "increase": 0.12, "increase_upper": 0.31}, "refresh": verdict}


REPORT = {
    "skill": 0.031,
    "cells": [
        {
            "symbol": "BTCUSDT",
            "horizon": 6,
            "target": "high",
            "pinball": 5.25,
            "baselines": {"ewm": 5.75, "har": 5.5},
            "skill": 4.5,
        }
    ],
}


def one_of_everything():
    """At least one row of every table the admin shows."""
    of = market()
    rows = candles(of, 24)
    CandleRevision.objects.create(
        market=of, open_time=BEGIN, before={"close": "1"}, after={"close": "2"}, origin="rest"
    )
    CutShortCandle.objects.create(market=of, open_time=BEGIN, close_time=BEGIN + 194_787, origin="rest")
    AbsentStretch.objects.create(market=of, start=BEGIN, end=BEGIN + 2 * STEP, evidence={"asked": 3})
    SuspectedStretch.objects.create(market=of, start=BEGIN, end=BEGIN + STEP, attempts=[{"at": 1}])
    QuarantinedMessage.objects.create(market=of, origin="stream", reason="high below low", raw="{}")
    ExchangeState.objects.create(base_url="http://127.0.0.1:1")
    champion = version(stage="champion")
    event = {"kind": champion.kind, "source": champion.source, "actor": "tests", "reason": "first"}
    PromotionEvent.objects.create(action="bootstrap", to_version=champion, **event)
    TrainingTrial.objects.create(
        kind=champion.kind,
        source=champion.source,
        origin="run",
        configuration={},
        configuration_digest="c" * 64,
        version=champion,
        actor="tests",
    )
    comparison(champion, champion, days=2)
    predictions = [prediction(of, horizon, rows[-1].open_time) for horizon in HORIZONS]
    ChallengerLog.objects.create(
        market=of, version=champion, horizon=6, candle_time=predictions[0].candle_time, answer={}
    )
    ChainHead.objects.create(market=of, log="predictions", index=4, seal=predictions[-1].seal)
    ChainCut.objects.create(
        market=of,
        log="signals",
        first_index=1,
        index=2,
        seal="c" * 64,
        file="signals.parquet",
        sha256="b" * 64,
        written_at=clock.wall_now(),
    )
    # PostgreSQL's triggers have created the block already.
    CandleBlock.objects.get_or_create(market=of, block=BEGIN // (30 * 288 * STEP), defaults={"stamp": clock.new_id()})
    OutboxMessage.objects.create(signal=signal(of, 1, **BUY), symbol=of.symbol, seq=1, payload="{}")
    SymbolSequence.objects.create(symbol=of.symbol, head=1)
    SignalSwitch.objects.create()
    Job.objects.create(kind="training", state="running", progress=0.43, message="fold 3 of 5")
    Heartbeat.objects.create(name="worker:a:1", part="worker", at=clock.wall_now())
    Counter.objects.create(name="ml_predictions_total", labels="horizon=6", value=1)
    key, _ = access.create_key("backend", "predict")
    WebsocketTicket.objects.create(
        digest="d" * 64, key_id=str(key.pk), scope="read", expires_at=clock.wall_now() + timedelta(seconds=30)
    )
    user, _ = get_user_model().objects.get_or_create(username="grace")
    KnownAddress.objects.create(user=user, network="203.0.113.5", last_sign_in_at=clock.wall_now())
    return of
