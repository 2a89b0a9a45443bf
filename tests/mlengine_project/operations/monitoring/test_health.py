"""Health checks: each part reports its faults, and liveness does no I/O."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django_celery_beat.models import PeriodicTask

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Candle, ExchangeState, Market
from marketdata.process_state import process_state
from mlengine_project.operations.jobs import control
from mlengine_project.operations.models import Heartbeat, Job
from mlengine_project.operations.monitoring import health, heartbeats
from mlengine_project.operations.monitoring.health import Readiness
from mlengine_project.operations.scheduling.schedule import install_schedule
from modelregistry.models import Kind, ModelVersion
from modelregistry.registry.serving import LoadedVersions
from signals.models import OutboxMessage, SignalLog
from tests.champions import bootstrap_champions


def test_alive_does_no_io(client, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    response = client.get("/health")  # the database is blocked in this test
    assert (response.status_code, response.json()) == (200, {"status": "healthy"})


def test_readiness_is_cached_for_two_seconds(monkeypatch):
    queued = []
    monkeypatch.setattr(health, "_causes", lambda: queued.append(1) or ([] if len(queued) > 1 else ["database"]))
    process_state.drop(Readiness)
    with clock.use(clock.FrozenClock(1_790_000_000_000)) as frozen:
        assert health.readiness() == ["database"]
        frozen.advance(1.9)
        assert health.readiness() == ["database"]
        assert len(queued) == 1
        frozen.advance(0.2)
        assert health.readiness() == []
    process_state.drop(Readiness)


def test_hanging_database_is_limited_by_the_timeout(monkeypatch):
    import threading

    release = threading.Event()
    monkeypatch.setattr(health, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(health, "_database_answers", lambda: release.wait(10))
    process_state.drop(Readiness)
    assert health.readiness() == ["database"]
    release.set()
    process_state.drop(Readiness)


def parts_of_processes():
    return {name: report for name, report in health.parts().items() if name in {"celery", "beat", "stream"}}


def beat(part, silent=0.0, name="host:1", **detail):
    at = clock.wall_now() - timedelta(seconds=silent)
    Heartbeat.objects.update_or_create(name=f"{part}:{name}", defaults={"part": part, "at": at, "detail": detail})


def faults():
    """Causes of not being ready, except the champion that these tests do not have."""
    return [cause for cause in health._causes() if cause != "NO_CHAMPION"]


def test_without_a_champion_that_covers_an_enabled_market_there_is_a_cause(market, settings, tmp_path):
    assert health._causes() == ["NO_CHAMPION"]
    settings.MODEL_PATH = tmp_path / "models"
    process_state.of(LoadedVersions).serving.clear()
    bootstrap_champions(symbols=("ETHUSDT",), source=market.source)
    assert "NO_CHAMPION" in health._causes(), "no enabled market is in its training set"
    Market.objects.create(symbol="ETHUSDT", source=market.source)
    assert "NO_CHAMPION" not in health._causes()
    process_state.of(LoadedVersions).serving.clear()


@pytest.fixture
def running(db):
    """Every process runs, and each row of the schedule has just fired."""
    install_schedule()
    PeriodicTask.objects.update(last_run_at=clock.wall_now())
    beat("worker")
    beat("scheduler", rows=10, refused="")
    beat("stream", markets=2, silent_seconds=0.5)
    Heartbeat.objects.create(name="beat", part="beat", at=clock.wall_now())
    assert {report["status"] for report in parts_of_processes().values()} == {"healthy"}


@pytest.mark.parametrize(("part", "name"), [("worker", "celery"), ("scheduler", "beat"), ("stream", "stream")])
@pytest.mark.parametrize(
    ("silent", "message"),
    [(14, ""), (16, "no heartbeat for 16 s"), (3600, "no heartbeat for 3600 s"), (-3600, "dated ahead of now")],
)
def test_part_is_healthy_while_it_has_heartbeats(running, part, name, silent, message):
    beat(part, silent, **Heartbeat.objects.get(part=part).detail)
    reports = parts_of_processes()
    assert (reports[name]["status"] == "degraded") == bool(message)
    assert message in reports[name]["message"]
    assert {report["status"] for other, report in reports.items() if other != name} == {"healthy"}


def test_row_ahead_of_now_does_not_hide_other_heartbeats(running):
    beat("worker", -3600, name="ended:9")
    assert parts_of_processes()["celery"]["status"] == "healthy"
    beat("worker", 60)
    assert "no heartbeat for 60 s" in parts_of_processes()["celery"]["message"]
    heartbeats.prune_stale()
    assert not Heartbeat.objects.filter(at__gt=clock.wall_now() + timedelta(minutes=1)).exists()


def test_beat_that_fires_nothing_is_reported_with_the_rows(running):
    PeriodicTask.objects.filter(name="sweep outbox").update(last_run_at=clock.wall_now() - timedelta(seconds=80))
    assert "due and not fired: sweep outbox" in parts_of_processes()["beat"]["message"]


def test_schedule_row_ahead_of_now_is_reported(running):
    PeriodicTask.objects.filter(name="advance markets").update(last_run_at=clock.wall_now() + timedelta(hours=1))
    assert parts_of_processes()["beat"]["message"] == "last run ahead of now: advance markets"


def test_disabled_rows_and_an_empty_schedule_are_reported(running):
    PeriodicTask.objects.filter(name="advance markets").update(enabled=False)
    assert parts_of_processes()["beat"]["message"] == "switched off: advance markets"
    PeriodicTask.objects.filter(name="daily training").update(enabled=False)
    assert parts_of_processes()["beat"]["message"] == "switched off: advance markets", "a daily row is a choice"
    PeriodicTask.objects.all().delete()
    assert parts_of_processes()["beat"]["message"] == "the schedule has no rows"


def test_broker_that_refuses_tasks_is_reported(running):
    beat("scheduler", rows=10, refused="OOM command not allowed")
    assert parts_of_processes()["beat"]["message"] == "the broker does not accept tasks: OOM command not allowed"


def test_worker_with_heartbeats_that_runs_no_tasks_is_reported(running):
    now = clock.wall_now()
    PeriodicTask.objects.filter(name="beat heartbeat").update(last_run_at=now - timedelta(seconds=20))
    Heartbeat.objects.filter(name="beat").update(at=now - timedelta(seconds=80))
    assert "runs no tasks" in parts_of_processes()["celery"]["message"]
    Heartbeat.objects.filter(name="beat").update(at=now + timedelta(hours=1))
    assert "runs no tasks" in parts_of_processes()["celery"]["message"], (
        "a row from before the clock was set back is ignored"
    )
    Heartbeat.objects.filter(name="beat").update(at=now - timedelta(seconds=20))
    assert parts_of_processes()["celery"]["status"] == "healthy"


@pytest.mark.parametrize(
    ("detail", "message"),
    [({"markets": 2, "silent_seconds": 90}, "received no message for 90 s"),
     ({"markets": 2, "silent_seconds": None}, "received no message yet"), ({"markets": 0}, "no market is enabled")],
)  # fmt: skip
def test_connected_feed_without_messages_is_reported(running, detail, message):
    Heartbeat.objects.filter(part="stream").update(detail=detail)
    assert message in parts_of_processes()["stream"]["message"]


@pytest.fixture
def market(db):
    """A market whose newest candle closed a minute ago."""
    now = clock.wall_ms()
    ExchangeState.objects.create(clock_wall_ms=now, clock_market_ms=now)
    clock.clear_cached_reading()
    market = Market.objects.create(symbol="BTCUSDT", source="exchange")
    store(market, now - 60_000 - INTERVAL_MS)
    yield market
    clock.clear_cached_reading()


def store(market, open_time):
    Candle.objects.create(
        market=market,
        open_time=open_time,
        origin="rest",
        volume=1,
        **dict.fromkeys(("open", "high", "low", "close"), 9),
    )


def test_fresh_candles_are_healthy(market):
    assert health.parts()["binance"]["status"] == "healthy"


@pytest.mark.parametrize("seconds", [6, 300, 86_400 * 400])
def test_a_candle_from_the_future_is_unhealthy_and_a_cause(market, seconds):
    store(market, clock.wall_ms() + seconds * 1000 - INTERVAL_MS)
    detailed = health.detailed()
    assert detailed["status"] == detailed["binance"]["status"] == "unhealthy"
    assert "from the future: BTCUSDT" in detailed["binance"]["message"]
    assert faults() == ["candles_from_the_future"]


def test_candle_from_the_future_is_reported_before_the_exchange_was_reached(market):
    ExchangeState.objects.all().delete()
    store(market, clock.wall_ms() + 3_600_000)
    assert faults() == ["candles_from_the_future"]


def test_missing_candles_are_reported_fifteen_seconds_after_the_close(market):
    other = Market.objects.create(symbol="ETHUSDT", source="exchange")
    store(other, clock.wall_ms() - 2 * INTERVAL_MS - 14_000)
    assert health.parts()["binance"]["status"] == "healthy"
    Candle.objects.filter(market=other).update(open_time=clock.wall_ms() - 2 * INTERVAL_MS - 16_000)
    assert health.parts()["binance"]["message"] == "no recent candle of ETHUSDT"
    assert faults() == [], "the other market is served"
    Market.objects.filter(pk=market.pk).update(enabled=False)
    assert faults() == ["STALE_DATA"]


def test_ban_is_reported_unless_it_is_from_before_the_clock_was_set_back(market):
    ExchangeState.objects.update(banned_until_ms=clock.wall_ms() + 3_600_000)
    assert "banned this address until" in health.parts()["binance"]["message"]
    ExchangeState.objects.update(banned_until_ms=clock.wall_ms() + 86_400_000 * 300)
    assert health.parts()["binance"]["status"] == "healthy"


def test_clock_set_back_since_the_last_reading_is_reported(market):
    ExchangeState.objects.update(clock_wall_ms=clock.wall_ms() + 60_000, clock_market_ms=clock.wall_ms() + 60_000)
    clock.clear_cached_reading()
    assert "clock was set back" in health.parts()["binance"]["message"]


def test_a_champion_whose_artifact_cannot_be_read_is_a_cause(market, settings, tmp_path):
    settings.MODEL_PATH = tmp_path
    now = clock.wall_now()
    for kind in Kind.values:
        ModelVersion.objects.create(
            kind=kind, digest=f"{len(kind):064x}", source="exchange", stage="champion", trained_from=now,
            trained_until=now, horizons=[6], symbols=["BTCUSDT"],
            row_count=1, feature_hash="", seed=1,
        )  # fmt: skip
    assert faults() == ["champion_not_loaded"]
    assert "its artifact cannot be read" in health.parts()["models"]["message"]


@pytest.mark.parametrize("dated", [-20, 3600])
def test_unsent_signal_in_the_outbox_is_reported(market, dated):
    signal = SignalLog.objects.create(
        market=market, symbol="BTCUSDT", seq=1, candle_time=clock.wall_now(), made_at=clock.wall_now(),
        valid_until=clock.wall_now(), signal_type="hold", horizon=6, entry_price=9, reasons=[], simulated=False,
        fee_rate=0, chain_index=1, seal="", previous_seal="",
    )  # fmt: skip
    OutboxMessage.objects.create(signal=signal, symbol="BTCUSDT", seq=1, payload="{}")
    OutboxMessage.objects.update(written_at=clock.wall_now() + timedelta(seconds=dated))
    assert "1 signals wait" in health.parts()["signals"]["message"]


def test_stored_candles_without_signals_are_reported(market):
    Market.objects.update(live_since=clock.to_datetime(clock.wall_ms() - 10 * INTERVAL_MS))
    Candle.objects.all().delete()
    store(market, (clock.wall_ms() - 60_000) // INTERVAL_MS * INTERVAL_MS - INTERVAL_MS)
    assert "have no signal: BTCUSDT" in health.parts()["signals"]["message"]


def test_a_write_that_failed_is_a_cause_until_one_succeeds(running, monkeypatch):
    def refuse(*_, **__):
        raise DatabaseError('could not extend file "base/1": No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(heartbeats, "record", refuse)
        heartbeats.write_own("web")
    assert faults() == ["database_refuses_writes"]
    assert "No space left" in health.parts()["database"]["message"]
    heartbeats.write_own("web")
    assert health.parts()["database"]["status"] == "healthy"


def test_unreadable_folder_is_reported(db, settings, tmp_path):
    (tmp_path / "models").write_text("a file where a folder should be")
    settings.MODEL_PATH = tmp_path / "models"
    assert "the model folder cannot be read" in health.parts()["disk"]["message"]


def test_doctor_and_metrics_report_the_health_checks(running, market, capsys):
    from mlengine_project.operations.monitoring import metrics

    PeriodicTask.objects.filter(name="advance markets").update(enabled=False)
    with pytest.raises(SystemExit):
        call_command("doctor", "--json", "--only", "beat")
    assert json.loads(capsys.readouterr().out)[0]["seen"].startswith("switched off: advance markets")
    assert 'ml_part_healthy{part="beat"} 0.5' in metrics.exposition().decode()
    assert 'ml_part_healthy{part="celery"} 1.0' in metrics.exposition().decode()


def test_loaded_versions_are_listed_by_process(db):
    now = clock.wall_now()
    loaded = {"loaded": {"exchange": {"range_predictor": "v1"}}}
    Heartbeat.objects.create(name="web:a:1", part="web", at=now, detail=loaded)
    Heartbeat.objects.create(name="worker:a:2", part="worker", at=now, detail=loaded)
    Heartbeat.objects.create(name="worker:a:3", part="worker", at=now - timedelta(minutes=5), detail=loaded)
    Heartbeat.objects.create(name="worker:a:4", part="worker", at=now + timedelta(minutes=5), detail=loaded)
    assert health.loaded_by() == {"v1": ["web:a:1", "worker:a:2"]}


def test_job_with_a_heartbeat_ahead_of_now_becomes_orphaned(db, monkeypatch):
    queued = []
    monkeypatch.setattr("mlengine_project.operations.jobs.control._send", queued.append)
    now = clock.wall_ms()
    with clock.use(clock.FrozenClock(now)) as frozen:
        ahead = clock.wall_now() + timedelta(hours=2)
        job = Job.objects.create(kind=Job.Kind.BACKFILL, state=Job.State.RUNNING, heartbeat_at=ahead)
        control.requeue_pending()
        assert not queued, "its process may still run: the time without a heartbeat counts from now"
        frozen.advance(301)
        control.requeue_pending()
        assert queued == [str(job.pk)]
