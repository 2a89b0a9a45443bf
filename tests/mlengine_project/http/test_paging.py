"""Paging through every list while rows arrive: each row once, in order, with any limit per page."""

import itertools
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import signing
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from marketdata import clock
from marketdata.models import Candle, Market
from mlengine_project.http.paging import SignedCursorPagination
from mlengine_project.operations.models import Job
from modelregistry.models import ModelVersion
from predictions.models import PredictionLog
from signals.models import SignalLog
from tests.champions import BEGIN, STEP

SEAL = "0" * 64
_count = itertools.count(1)


def at(slot):
    return clock.to_datetime(BEGIN + slot * STEP)


def prediction(market, slot):
    n = next(_count)
    return PredictionLog(
        market=market, symbol=market.symbol, horizon=(6, 18, 36)[n % 3], candle_time=at(slot), ensemble=f"{n:064}",
        model_versions={}, made_at=at(slot) + timedelta(seconds=n % 2), valid_until=at(slot + 2), current_price=1,
        predicted_high=1, predicted_low=1, high_quantiles=["1.00000000"] * 7, low_quantiles=["1.00000000"] * 7,
        data_age_seconds=1, chain_index=n, seal=SEAL, previous_seal=SEAL,
    )  # fmt: skip


def signal(market, slot):
    n = next(_count)
    return SignalLog(
        market=market, symbol=market.symbol, seq=n, candle_time=at(n % 997 * 1000 + slot), made_at=at(slot),
        valid_until=at(slot), signal_type="hold", entry_price=1, fee_rate=0.001, chain_index=n, seal=SEAL,
        previous_seal=SEAL,
    )  # fmt: skip


def candle(market, slot):
    one = Decimal(1)
    return Candle(
        market=market, open_time=BEGIN + (next(_count) * 50 + slot) * STEP, open=one, high=one, low=one, close=one, volume=one,
        origin=Candle.Origin.IMPORT,
    )  # fmt: skip


def version(_market, slot):
    row = ModelVersion(
        kind="range_predictor", source="simulated", digest=uuid.uuid4().hex * 2, symbols=[], horizons=[6], feature_hash="",
        trained_from=at(0), trained_until=at(1), row_count=1, seed=next(_count), report={"skill": 0.1},
    )  # fmt: skip
    row.created_at = at(slot)
    return row


def market(_market, slot):
    return Market(symbol=f"M{slot}N{next(_count)}", source="simulated", enabled=False)


def job(_market, slot):
    row = Job(kind="training")
    row.created_at = at(slot)
    return row


LISTS = {
    "/predictions?": (PredictionLog, prediction, "id"),
    "/predictions?symbol=AUSDT&": (PredictionLog, prediction, "id"),
    "/signals?": (SignalLog, signal, "id"),
    "/signals?symbol=AUSDT&after=0&": (SignalLog, signal, "id"),
    "/candles?symbol=AUSDT&from=2020-01-01&": (Candle, candle, "open_time"),
    "/models?": (ModelVersion, version, "id"),
    "/markets?": (Market, market, "symbol"),
}
QUIET = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
SLOTS = st.lists(st.integers(0, 3), min_size=1, max_size=24)
LIMITS = st.lists(st.integers(1, 7), min_size=1, max_size=5)
ARRIVALS = st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=8)


def write(model, make, slots):
    """Rows of the given slots in the requested market, with times otherwise set by the database."""
    owner = Market.objects.get(symbol="AUSDT")
    times = {}
    for slot in slots:
        row = make(owner, slot)
        made = getattr(row, "created_at", None)
        row.save(force_insert=True)
        if model in {ModelVersion, Job}:
            model.objects.filter(pk=row.pk).update(created_at=made)
        times[row.pk] = made
    return list(times)


def names_of(model, field, keys):
    if model is Candle:
        found = Candle.objects.filter(pk__in=keys).values_list("open_time", flat=True)
        return {clock.to_datetime(one).isoformat().replace("+00:00", "Z") for one in found}
    return {str(one) for one in model.objects.filter(pk__in=keys).values_list(field, flat=True)}


def walk(client, path, limits, direction, arrive, start=None):
    """Follow the links of one direction to the end, with another limit for each page."""
    pages, limit = [], itertools.cycle(limits)
    link = start or f"{path}limit={next(limit)}"
    while link:
        page = client.get(link).json()
        assert set(page) == {"next", "previous", "results"} or "simulated" in page, page
        pages.append(page)
        arrive()
        link = page[direction]
        if link:
            head, _, tail = link.partition("limit=")
            link = f"{head}limit={next(limit)}&{tail.partition('&')[2]}"
    return pages


@pytest.fixture
def reader(caller, settings):
    settings.RATE_LIMIT = 0
    Market.objects.create(symbol="AUSDT", source="simulated")
    return caller("read")


@pytest.mark.parametrize("path", LISTS)
def test_a_walk_while_rows_arrive_returns_each_row_once(reader, path):
    model, make, field = LISTS[path]

    @QUIET
    @given(SLOTS, LIMITS, ARRIVALS)
    def holds(slots, limits, arrivals):
        (model.objects.exclude(symbol="AUSDT") if model is Market else model.objects.all()).delete()
        there = names_of(model, field, write(model, make, slots))
        waiting = iter(arrivals)
        pages = walk(reader, path, limits, "next", lambda: write(model, make, next(waiting, [])))
        seen = [row[field] for page in pages for row in page["results"]]
        assert len(seen) == len(set(seen)), "a row was returned twice"
        assert there <= set(seen), "a row was left out"
        back = walk(reader, path, limits, "previous", list, start=pages[-1]["previous"])
        returned = [row[field] for page in back for row in page["results"]]
        assert len(returned) == len(set(returned))
        assert there <= set(returned) | {row[field] for row in pages[-1]["results"]}

    holds()


def test_candles_from_the_newest_page_backwards_while_candles_close(reader):
    @QUIET
    @given(SLOTS, LIMITS, ARRIVALS)
    def holds(slots, limits, arrivals):
        Candle.objects.all().delete()
        there = names_of(Candle, "open_time", write(Candle, candle, slots))
        waiting = iter(arrivals)
        pages = walk(
            reader, "/candles?symbol=AUSDT&", limits, "previous", lambda: write(Candle, candle, next(waiting, []))
        )
        seen = [row["open_time"] for page in pages for row in page["results"]]
        assert len(seen) == len(set(seen))
        assert there <= set(seen)

    holds()


@QUIET
@given(SLOTS, LIMITS, ARRIVALS)
@pytest.mark.django_db
def test_jobs_of_one_moment_are_each_on_one_page(slots, limits, arrivals):
    Job.objects.all().delete()
    Market.objects.get_or_create(symbol="AUSDT", source="simulated")
    there, seen, waiting, limit = set(write(Job, job, slots)), [], iter(arrivals), itertools.cycle(limits)
    link = "/jobs"
    while link:
        request = Request(APIRequestFactory().get(link, {} if "limit=" in link else {"limit": next(limit)}))
        paginator = SignedCursorPagination()
        seen += [row.pk for row in paginator.paginate_queryset(Job.objects.all(), request)]
        write(Job, job, next(waiting, []))
        link = paginator.get_paginated_response([]).data["next"]
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


@QUIET
@given(st.sets(st.tuples(st.sampled_from("AB"), st.integers(1, 9)), max_size=20), LIMITS)
def test_computed_rows_are_paged_by_their_sort_names_while_others_appear(found, limits):
    rows = [{"symbol": symbol, "horizon": horizon} for symbol, horizon in found]
    seen, limit, link = [], itertools.cycle(limits), "/track-record"
    while link:
        request = Request(APIRequestFactory().get(link, {} if "limit=" in link else {"limit": next(limit)}))
        paginator = SignedCursorPagination()
        seen += paginator.paginate_rows(rows, ("symbol", "horizon"), request)
        rows = [{"symbol": "0", "horizon": len(seen)}, *rows]
        link = paginator.get_paginated_response([]).data["next"]
    named = [(row["symbol"], row["horizon"]) for row in seen]
    assert len(named) == len(set(named))
    assert found <= set(named)


def test_latest_and_track_record_have_pages_too(caller, engine):
    client = caller("read")
    pages = walk(client, "/predictions?latest=true&", [3], "next", list)
    assert [len(page["results"]) for page in pages] == [3, 3, 2]
    assert len({(row["symbol"], row["horizon"]) for page in pages for row in page["results"]}) == 8
    assert client.get("/track-record?limit=3").json() == {"next": None, "previous": None, "results": []}


def test_a_cursor_of_another_list_order_or_version_is_a_400(reader):
    write(SignalLog, signal, [0, 1, 2])
    link = reader.get("/signals?symbol=AUSDT&limit=1").json()["next"]
    cursor = link.partition("cursor=")[2].partition("&")[0]
    old = signing.dumps([0, False, "2025-01-01 00:00:00+00:00"], salt="cursor:/signals")
    for path in (
        f"/signals?symbol=AUSDT&after=0&cursor={cursor}",
        f"/predictions?cursor={cursor}",
        f"/signals?cursor={cursor[:-1]}",
        f"/signals?cursor={old}",
    ):
        payload = reader.get(path).json()
        assert (payload["error"], list(payload["details"])) == ("ValidationError", ["cursor"]), path


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.parametrize(("path", "index"), [("", "prediction_by_time"), ("symbol=AUSDT", "prediction_by_")])
def test_page_of_a_large_log_uses_an_index(path, index):
    if connection.vendor != "postgresql":
        pytest.skip("a plan of PostgreSQL")
    owner = Market.objects.create(symbol="AUSDT", source="simulated")
    columns = [field.column for field in PredictionLog._meta.concrete_fields if field.column != "created_at"]
    row = prediction(owner, 0)
    row.save()
    chosen = [
        {
            "id": "gen_random_uuid()",
            "candle_time": "candle_time + interval '5 min' * (n / 8)",
            "made_at": "made_at + interval '5 min' * (n / 8)",
            "horizon": "6 + n % 4",
            "ensemble": "n::text",
            "chain_index": "1000000 + n",
        }.get(column, f'"{column}"')
        for column in columns
    ]
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO prediction_logs ({names}) SELECT {', '.join(chosen)} "
            "FROM prediction_logs, generate_series(1, 200000) AS n"
        )
        cursor.execute("ANALYZE prediction_logs")
    link = APIRequestFactory().get(f"/predictions?{path}", {"limit": 100} if not path else {})
    paginator = SignedCursorPagination()
    rows = PredictionLog.objects.filter(**dict([path.split("=")] if path else []))
    rows = rows.order_by("-candle_time", "symbol", "horizon", "-made_at")
    paginator.paginate_queryset(rows, Request(link))
    link = APIRequestFactory().get(paginator.get_paginated_response([]).data["next"])
    with connection.execute_wrapper(
        lambda run, sql, params, many, context: plans.append((sql, params)) or run(sql, params, many, context)
    ):
        plans = []
        SignedCursorPagination().paginate_queryset(rows, Request(link))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {plans[-1][0]}", plans[-1][1])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
