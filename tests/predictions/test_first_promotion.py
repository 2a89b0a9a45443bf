"""Requests around the first promotion: one candle, one prediction."""

import threading
import time

import orjson
import pytest
from django.db import connection

from marketdata import clock
from modelregistry import registry, services
from modelregistry.registry import serving
from predictions.errors import PredictionRefused
from predictions.models import PredictionLog
from predictions.services import latest_prediction
from tests.champions import BEGIN, STEP, at_close_of, consistent_estimator, make_markets
from tests.modelregistry import champions as tiny


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_around_the_first_promotion_get_one_id(monkeypatch):
    monkeypatch.setattr(tiny, "estimator", consistent_estimator)
    monkeypatch.setattr(serving, "RECHECK_SECONDS", 0.0)
    promoted = registry.bootstrap

    def slow_bootstrap(*arguments):
        event = promoted(*arguments)
        time.sleep(0.3)
        return event

    monkeypatch.setattr(registry, "bootstrap", slow_bootstrap)
    make_markets(symbols=("BTCUSDT",))
    versions = [tiny.candidate(kind, source="simulated") for kind in tiny.KINDS]
    ids, refusals, done = set(), [], threading.Event()

    def request_until_done():
        try:
            while not done.is_set():
                try:
                    ids.add(orjson.loads(latest_prediction("BTCUSDT", 6))["id"])
                except PredictionRefused as refused:
                    refusals.append(refused.reasons)
        finally:
            connection.close()

    with clock.use(at_close_of(BEGIN - STEP)):
        callers = [threading.Thread(target=request_until_done) for _ in range(3)]
        for caller in callers:
            caller.start()
        try:
            services.bootstrap_versions(versions, "tests")
            deadline = time.monotonic() + 20
            while not ids and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.3)
        finally:
            done.set()
            for caller in callers:
                caller.join()
    assert len(ids) == 1
    assert refusals
    assert {tuple(reasons) for reasons in refusals} == {("NO_CHAMPION",)}
    assert set(PredictionLog.objects.values_list("horizon", "ensemble").distinct()) == {
        (horizon, registry.load_ensemble("simulated").digest) for horizon in tiny.HORIZONS
    }
