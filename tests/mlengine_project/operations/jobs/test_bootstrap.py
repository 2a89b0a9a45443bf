"""The bootstrap: creates everything a new installation lacks, once, also after interruptions."""

import os
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django_celery_beat.models import PeriodicTask

from marketdata import clock
from marketdata.models import Market
from marketdata.process_state import process_state
from marketdata.simulator import SimulatedExchange
from marketdata.storage import candles
from mlengine_project.operations import doctor, tasks
from mlengine_project.operations.jobs import bootstrap, control, runs
from mlengine_project.operations.models import Heartbeat, Job
from mlengine_project.operations.monitoring import health
from mlengine_project.operations.monitoring.health import Readiness
from mlengine_project.operations.scheduling.schedule import SCHEDULE
from modelregistry import artifacts
from modelregistry.training.fit.plan import least_candles, plan_for
from tests.champions import BEGIN, STEP, artifact_folder, bootstrap_champions, champions, fresh_engine, make_markets  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
HORIZONS = (6, 18, 36, 72)


@pytest.fixture(autouse=True)
def queued(monkeypatch, fresh_engine):  # noqa: F811
    sent = []
    monkeypatch.setattr("mlengine_project.operations.jobs.control._send", sent.append)
    return sent


@pytest.fixture
def exchange(settings):
    with SimulatedExchange(["BTCUSDT", "ETHUSDT"], seed=3, speed=0, begin_at=BEGIN + 10_000) as running:
        settings.BINANCE_API_URL, settings.BINANCE_STREAM_URL = running.base_url, running.stream_url
        settings.SUPPORTED_SYMBOLS = ["BTCUSDT", "ETHUSDT"]
        yield running


def stored():
    return {market.symbol: candles.count_stored(market, 0, BEGIN) for market in Market.objects.all()}


def test_minimum_candles_match_the_training_plan():
    plan_for(least_candles(HORIZONS), HORIZONS)
    with pytest.raises(Exception, match="too few"):
        plan_for(least_candles(HORIZONS) - 1, HORIZONS)


def test_from_nothing_to_a_requested_training_and_again(exchange):
    reported = []
    result = bootstrap.run(lambda done, total: reported.append((done, total)))
    training = Job.objects.get(kind="training")
    assert PeriodicTask.objects.count() == len(SCHEDULE)
    assert stored() == dict.fromkeys(("BTCUSDT", "ETHUSDT"), least_candles(HORIZONS))
    assert reported[0][0] == 0
    assert reported[-1][0] == reported[-1][1] == 2 * least_candles(HORIZONS)
    assert result["training"] == str(training.pk)
    assert training.arguments["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert bootstrap.run()["training"] == str(training.pk)
    assert Job.objects.filter(kind="training").count() == 1
    assert Job.objects.filter(kind="backfill").count() == 2, "the rest of each market's history, once"


def test_killed_bootstrap_continues(exchange):
    stop = []
    bootstrap.run(lambda done, _total: stop.append(1) if done else None, lambda: bool(stop))
    assert not Job.objects.exists()
    before = sum(stored().values())
    assert before > 0
    reported = []
    bootstrap.run(lambda done, total: reported.append(total))
    assert not reported or reported[0] == 2 * least_candles(HORIZONS) - before
    assert Job.objects.filter(kind="training").count() == 1


def test_missing_candles_are_replaced_by_older_ones(exchange):
    bootstrap.prepare()
    market = Market.objects.get(symbol="BTCUSDT")
    hole = BEGIN - 500 * STEP
    from marketdata.models import AbsentStretch

    AbsentStretch.objects.create(market=market, start=hole, end=hole + 40 * STEP, evidence={})
    counts, refused = bootstrap.fetch([market], least_candles(HORIZONS), lambda *_: None, lambda: False)
    assert refused == {}
    assert counts[market.pk] >= least_candles(HORIZONS)


@pytest.mark.parametrize("stored_already", [0, least_candles(HORIZONS)])
def test_unknown_symbol_does_not_block_the_others(settings, exchange, stored_already):
    settings.SUPPORTED_SYMBOLS = ["BTCUSDT", "BTCUSTD"]
    if stored_already:
        make_markets(stored_already, symbols=("BTCUSDT",))
    result = bootstrap.run()
    assert [market["stored"] for market in result["markets"]] == [least_candles(HORIZONS), 0]
    assert result["markets"][0]["refused"] is None
    assert "symbol" in result["markets"][1]["refused"]
    assert Job.objects.get(kind="training").arguments["symbols"] == ["BTCUSDT"]


def test_only_an_unknown_symbol_is_reported(settings, exchange):
    settings.SUPPORTED_SYMBOLS = ["BTCUSTD"]
    with pytest.raises(bootstrap.BootstrapError, match=r"BTCUSTD 0 .*symbol"):
        bootstrap.run()
    assert not Job.objects.exists()


def test_installation_with_champions_is_not_changed(champions, exchange):  # noqa: F811
    assert bootstrap.request("start") is None
    bootstrap.sweep()
    assert not Job.objects.filter(kind__in=("bootstrap", "training")).exists()


def test_at_every_start_there_is_one_bootstrap(settings, exchange, capsys):
    settings.EMBEDDED = False
    for _ in range(3):
        call_command("bootstrap", "--queue")
        bootstrap.sweep()
    job = Job.objects.get()
    assert (job.kind, job.state, job.arguments) == ("bootstrap", "pending", {})
    assert str(job.pk) in capsys.readouterr().out
    assert runs.command_line(job)[2:] == ["bootstrap", "--progress-json"]


def test_embedded_bootstrap_refers_to_up(settings):
    settings.EMBEDDED = True
    with pytest.raises(CommandError, match="`up` does the same"):
        call_command("bootstrap")


@pytest.mark.parametrize(("state", "hours", "due"), [
    ("running", 5, False), ("succeeded", 0, False), ("succeeded", 1, True), ("failed", 0, False),
    ("failed", 1, True), ("cancelled", 1, False),
])  # fmt: skip
def test_the_schedule_repeats_what_failed_but_not_what_was_cancelled(exchange, state, hours, due):
    bootstrap.prepare()
    ended = clock.wall_now() - timedelta(hours=hours)
    Job.objects.create(kind="bootstrap", state=state, ended_at=None if state == "running" else ended)
    tasks.request_bootstrap()
    assert Job.objects.filter(kind="bootstrap", state="pending").exists() is due


def test_up_trains_by_itself_but_new_markets_get_their_history(settings, exchange):
    settings.IS_UP = True
    bootstrap.prepare()
    for _ in range(2):
        tasks.request_bootstrap()
    assert not Job.objects.filter(kind="bootstrap").exists()
    assert sorted(job.arguments["symbols"] for job in Job.objects.filter(kind="backfill")) == [["BTCUSDT"], ["ETHUSDT"]]


def test_a_market_enabled_later_gets_its_history_once(champions, exchange):  # noqa: F811
    make_markets(count=least_candles(HORIZONS))
    bootstrap.sweep()
    assert not Job.objects.exists()
    late = Market.objects.create(symbol="SOLUSDT", source="simulated")
    Market.objects.create(symbol="XRPUSDT", source="exchange", enabled=True)
    bootstrap.sweep()
    job = Job.objects.get()
    assert (job.kind, job.arguments["symbols"]) == ("backfill", [late.symbol])
    Job.objects.update(state="succeeded")
    bootstrap.sweep()
    assert Job.objects.count() == 1, "a recently listed market has no more history"


def test_job_waits_with_a_reason_without_the_exchange(settings, exchange, queued, monkeypatch):
    settings.EMBEDDED = False
    address = settings.BINANCE_API_URL
    job = bootstrap.request("start")
    settings.BINANCE_API_URL = "http://127.0.0.1:9"
    with pytest.raises(CommandError) as failed:
        call_command("bootstrap", "--progress-json")
    assert failed.value.returncode == os.EX_TEMPFAIL
    script = f"import sys; print('CommandError: the exchange does not answer'); sys.exit({failed.value.returncode})"
    monkeypatch.setattr(runs, "command_line", lambda _: [sys.executable, "-c", script])
    runs.run(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.message) == ("pending", "waits: CommandError: the exchange does not answer")
    queued.clear()
    tasks.requeue_jobs()
    assert queued == [str(job.pk)]
    settings.BINANCE_API_URL = address
    assert bootstrap.request("schedule").pk == job.pk


def test_a_job_that_waits_can_be_cancelled_while_it_runs(monkeypatch):
    job = control.request_backfill("me")
    Job.objects.filter(pk=job.pk).update(cancel_requested=True)
    claimed = Job.objects.get(pk=job.pk)
    Job.objects.filter(pk=job.pk).update(state="running")
    runs._requeue(claimed, "the exchange does not answer")
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_a_command_leaves_its_result_in_the_job(monkeypatch):
    job = control.request_backfill("me")
    words = 'print(\'{"result": {"markets": []}}\'); print("done it")'
    monkeypatch.setattr(runs, "command_line", lambda _: [sys.executable, "-c", words])
    runs.run(str(job.pk))
    job.refresh_from_db()
    assert job.result == {"markets": [], "output": "done it"}


def test_without_a_market_of_this_exchange_the_error_names_what_to_do(settings, exchange):
    settings.SUPPORTED_SYMBOLS = []
    with pytest.raises(bootstrap.BootstrapError, match="enable one in the admin"):
        bootstrap.run()


def test_readiness_names_a_missing_champion_until_one_covers_a_market(exchange):
    process_state.drop(Readiness)
    assert health.readiness() == ["NO_CHAMPION"]
    make_markets(count=1)
    process_state.drop(Readiness)
    assert health.readiness() == ["NO_CHAMPION"]
    bootstrap_champions(symbols=("OTHERUSDT",))
    process_state.drop(Readiness)
    assert health.readiness() == ["NO_CHAMPION"], "a market outside the training set is not served"
    Market.objects.create(symbol="OTHERUSDT", source="simulated")
    process_state.drop(Readiness)
    assert health.readiness() == []
    process_state.drop(Readiness)


@pytest.mark.parametrize("writable", [True, False])
def test_doctor_advice_depends_on_writable_models(settings, monkeypatch, exchange, writable):
    bootstrap.prepare()
    monkeypatch.setattr(artifacts, "can_write", lambda: writable)
    (models,) = doctor.diagnose(["models"])
    assert not models.well
    assert ("docker compose exec trainer" in models.advice) is not writable
    assert ("POST /jobs" in models.advice) is not writable
    Job.objects.create(kind="bootstrap", message="waits: the exchange does not answer")
    (models,) = doctor.diagnose(["models"])
    assert models.seen == "no champion; bootstrap pending: waits: the exchange does not answer"
    assert "wait" in models.advice


@pytest.mark.parametrize("embedded", [True, False])
def test_doctor_reports_the_missing_process(settings, embedded):
    settings.EMBEDDED = embedded
    Heartbeat.objects.all().delete()
    for finding in doctor.diagnose(["celery", "beat", "stream"]):
        assert not finding.well
        assert ("manage.py up" in finding.advice) is embedded
        assert ("docker compose up -d" in finding.advice) is not embedded


def test_doctor_advises_to_enable_disabled_rows(exchange):
    bootstrap.prepare()
    Market.objects.update(enabled=False)
    PeriodicTask.objects.update(enabled=False)
    advice = {finding.part: finding.advice for finding in doctor.diagnose(["markets", "schedule"])}
    assert "seed_markets" not in advice["markets"]
    assert "install_schedule" not in advice["schedule"]


def test_training_where_models_are_read_only_is_refused_before_it_begins(settings, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).startswith(str(settings.MODEL_PATH.parent)))
    assert not artifacts.can_write()
    with pytest.raises(CommandError, match="read-only here"):
        call_command("train_models")
