"""The bootstrap job in a real process: outage of the exchange, kill, continuation."""

import os
import signal
import threading

import pytest
from django.db import connection

from indicators.features import WARMUP
from marketdata.models import Market
from marketdata.process_state import process_state
from marketdata.storage import candles
from mlengine_project.operations.jobs import bootstrap, runs
from mlengine_project.operations.jobs.runs import RunningJobs
from mlengine_project.operations.models import Job
from modelregistry.training.fit.plan import least_candles
from tests.flows import processes

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.long, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def trainer(monkeypatch, settings, exchange, tmp_path):
    """Run a job like the trainer, on the database of this test."""
    monkeypatch.setattr("mlengine_project.operations.jobs.control._send", lambda _: None)
    settings.SUPPORTED_SYMBOLS = list(exchange.symbols)
    for name, value in processes.engine_environment(tmp_path, exchange, os.environ["REDIS_URL"]).items():
        monkeypatch.setenv(name, value)
    return runs.run


def test_bootstrap_waits_for_the_exchange(trainer, exchange, monkeypatch):
    job = bootstrap.request("start")
    monkeypatch.setenv("BINANCE_API_URL", f"http://127.0.0.1:{processes.free_port()}")
    trainer(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.message.startswith("waits: CommandError: ")) == ("pending", True), (job.message, job.result)
    assert Market.objects.count() == 2

    monkeypatch.setenv("BINANCE_API_URL", exchange.base_url)
    trainer(str(job.pk))
    job.refresh_from_db()
    assert job.state == "succeeded", job.result
    training = Job.objects.get(kind="training")
    assert job.result["training"] == str(training.pk)
    assert all(market["stored"] >= least_candles((72,)) for market in job.result["markets"])


def test_killed_with_its_process_it_is_claimed_again_and_fetches_the_rest(trainer):
    job = bootstrap.request("start")

    def kill_half_way():
        processes.wait_until(lambda: process_state.of(RunningJobs).processes, 30, "the process runs")
        (process,) = process_state.of(RunningJobs).processes.values()
        processes.wait_until(lambda: stored() > WARMUP or process.poll() is not None, 60, "half is fetched")
        process.send_signal(signal.SIGKILL)
        connection.close()

    killer = threading.Thread(target=kill_half_way)
    killer.start()
    trainer(str(job.pk))
    killer.join(60)
    assert 0 < stored() < 2 * least_candles((72,))
    # State of the row after a kill of the trainer: running, without a recent heartbeat.
    Job.objects.filter(pk=job.pk).update(state="running", heartbeat_at="2020-01-01T00:00:00Z")
    trainer(str(job.pk))
    job.refresh_from_db()
    assert job.state == "succeeded", job.result
    assert stored() >= 2 * least_candles((72,))
    assert Job.objects.filter(kind="training").count() == 1


def stored():
    return sum(candles.count_stored(market, 0, 2**62) for market in Market.objects.all())
