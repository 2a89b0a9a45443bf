"""Data page: one state a day, beside the API's coverage; backfills by permission."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission

from marketdata import clock
from marketdata.models import AbsentStretch, Candle, CandleRevision, ExchangeState, QuarantinedMessage
from mlengine_project.access import services as access
from mlengine_project.console.stored_data.calendar import DayState, days_of
from mlengine_project.operations.models import Job
from tests.mlengine_project.console import rows
from tests.mlengine_project.console.test_pages import words

pytestmark = pytest.mark.django_db
DAY = 288 * rows.STEP


def of_days(count=7):
    of = rows.market()
    rows.candles(of, count * 288)
    of.live_since = clock.to_datetime(rows.BEGIN - 3 * DAY)
    of.save()
    return of


def at(days_back, candle=0):
    return rows.BEGIN - days_back * DAY + candle * rows.STEP


def test_every_day_has_the_most_serious_state():
    of = of_days()
    Candle.objects.filter(market=of, open_time__in=[at(1, k) for k in range(3)]).delete()
    Candle.objects.filter(market=of, open_time__gte=at(3)).update(origin="stream")
    Candle.objects.filter(market=of, open_time=at(2)).update(origin="rest")
    CandleRevision.objects.create(market=of, open_time=at(4), before={}, after={}, origin="rest")
    AbsentStretch.objects.create(market=of, start=at(5), end=at(5, 2), evidence={})
    Candle.objects.filter(market=of, open_time__in=[at(5), at(5, 1)]).delete()
    message = QuarantinedMessage.objects.create(market=of, origin="stream", reason="high below low", raw="{}")
    QuarantinedMessage.objects.filter(pk=message.pk).update(seen_at=clock.to_datetime(at(6)) + timedelta(hours=1))
    days = days_of(of)
    assert [day.state for day in days] == [
        DayState.COMPLETE, DayState.QUARANTINED, DayState.ABSENT, DayState.REVISED, DayState.COMPLETE, DayState.REPAIRED,
        DayState.MISSING,
    ][-len(days):]  # fmt: skip
    by_state = {day.state: day for day in days}
    assert (by_state[DayState.MISSING].missing, by_state[DayState.MISSING].stored) == (3, 285)
    assert by_state[DayState.ABSENT].absent == 2
    assert by_state[DayState.REPAIRED].repaired == 1


def test_days_add_up_to_the_coverage_of_the_api(admin_client, client):
    of = of_days()
    Candle.objects.filter(market=of, open_time__in=[at(1, k) for k in range(5)]).delete()
    AbsentStretch.objects.create(market=of, start=at(2), end=at(2, 2), evidence={})
    Candle.objects.filter(market=of, open_time__in=[at(2), at(2, 1)]).delete()
    days = admin_client.get("/console/data/days/BTCUSDT").json()["days"]
    _, secret = access.create_key("tests", "read")
    quality = client.get("/candles/quality", {"symbol": "BTCUSDT"}, headers={"X-API-Key": secret}).json()
    for name in ("expected", "stored", "missing", "absent"):
        assert sum(day[name] for day in days) == quality[name], name


def test_page_shows_feed_weight_and_backfills(admin_client):
    of_days(1)
    ExchangeState.objects.create(used_weight=1240, weight_seen_at=clock.wall_now(), reconnects=3)
    Job.objects.create(kind="backfill", state="running", progress=0.25, message="100 of 400 candles", asked_by="ada")
    shown = words(admin_client.get("/console/data"))
    assert "Request weight of this minute: 1,240 of 6,000" in shown
    assert "25.0 % 100 of 400 candles" in shown
    assert "Refused until" not in shown
    ExchangeState.objects.update(banned_until_ms=clock.wall_ms() + 60_000)
    assert "Refused until" in words(admin_client.get("/console/data/feed"))


def test_empty_data_page_and_unknown_market(admin_client):
    assert "No market is enabled" in words(admin_client.get("/console/data"))
    rows.market()
    assert admin_client.get("/console/data/days/BTCUSDT").json()["days"] == []
    assert admin_client.get("/console/data/days/NONE").status_code == 404


def test_backfill_wants_permission_and_reason(client, django_user_model):
    rows.market()
    user = django_user_model.objects.create_user("olga")
    client.force_login(user)
    request = {"symbols": ["BTCUSDT"], "days": "30", "reason": "new market"}
    assert "/console/data/backfill" not in client.get("/console/data").content.decode()
    assert client.post("/console/data/backfill", request).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="add_job"))
    assert "/console/data/backfill" in client.get("/console/data").content.decode()
    assert client.post("/console/data/backfill", {**request, "reason": ""}).status_code == 400
    done = client.post("/console/data/backfill", request, follow=True)
    assert "Backfill requested" in words(done)
    job = Job.objects.get()
    assert job.arguments["symbols"] == ["BTCUSDT"]
    assert job.arguments["from"] == f"{clock.market_now() - timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}"
