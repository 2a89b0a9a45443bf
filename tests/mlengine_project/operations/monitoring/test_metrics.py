"""Metrics: the same from every process, correct with several, complete without a database."""

import threading

import pytest
from django.db import OperationalError, connections
from prometheus_client.parser import text_string_to_metric_families

from marketdata.process_state import process_state
from mlengine_project.operations.models import Counter
from mlengine_project.operations.monitoring import counters as module
from mlengine_project.operations.monitoring.background_refresher import BackgroundRefresher
from mlengine_project.operations.monitoring.counters import LATENCY, PREDICTIONS, Measures
from mlengine_project.operations.monitoring.metrics import exposition
from predictions.live import windows as live_windows
from predictions.live.windows import WindowsBySource

pytestmark = pytest.mark.django_db


def scraped():
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(exposition().decode())
        for sample in family.samples
    }


@pytest.fixture
def processes(monkeypatch):
    """Two processes; the scrape reaches the first."""
    one, other = Measures(), Measures()
    monkeypatch.setattr("mlengine_project.operations.monitoring.metrics.measures", one)
    return one, other


def test_the_counts_of_several_processes_add_up(processes):
    one, other = processes
    for process in (one, other, other):
        process.add(PREDICTIONS, symbol="BTCUSDT", horizon=6)
        process.observe(LATENCY, 0.02)
    other.flush()
    samples = scraped()
    assert samples[PREDICTIONS, "6", "BTCUSDT"] == 3
    assert samples[f"{LATENCY}_count",] == 3
    assert samples[f"{LATENCY}_bucket", "0.01"] == 0
    assert samples[f"{LATENCY}_bucket", "0.025"] == samples[f"{LATENCY}_bucket", "+Inf"] == 3
    assert samples[f"{LATENCY}_sum",] == pytest.approx(0.06)
    one.flush()
    one.flush()
    assert scraped()[PREDICTIONS, "6", "BTCUSDT"] == 3, "written once"


def test_histogram_has_the_contracts_buckets(processes):
    edges = [name[1] for name in scraped() if name[0] == f"{LATENCY}_bucket"]
    assert edges == ["0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "+Inf"]


def test_counts_that_cannot_be_written_are_kept_and_written_later(processes, monkeypatch):
    one, _ = processes
    one.add(PREDICTIONS, symbol="BTCUSDT", horizon=6)
    with monkeypatch.context() as patch:
        patch.setattr(module.Counter, "objects", None)
        patch.setattr(module, "transaction", type("Away", (), {"atomic": staticmethod(refuse)}))
        with pytest.raises(OperationalError):
            one.flush()
    assert one.flush() == 1
    assert Counter.objects.get(name=PREDICTIONS).value == 1


def refuse(*_, **__):
    raise OperationalError("refused")


def test_without_a_database_a_scrape_still_answers(processes, monkeypatch):
    one, _ = processes
    one.add(PREDICTIONS, symbol="BTCUSDT", horizon=6)
    with monkeypatch.context() as patch:
        for way in ("cursor", "chunked_cursor"):
            patch.setattr(connections["default"], way, refuse)
        samples = scraped()
    assert samples["ml_database_up",] == 0
    assert samples[PREDICTIONS, "6", "BTCUSDT"] == 1


def test_concurrent_threads_count_exactly():
    measures = Measures()

    def count():
        for _ in range(1000):
            measures.add(PREDICTIONS, symbol="BTCUSDT", horizon=6)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert measures.pending()[PREDICTIONS, "horizon=6,symbol=BTCUSDT"] == 4000


def test_all_documented_metrics_are_exported(processes):
    text = exposition().decode()
    for name in (
        "ml_predictions_total", "ml_prediction_latency_seconds", "ml_model_accuracy", "ml_data_age_seconds",
        "ml_candle_to_signal_seconds", "ml_outbox_age_seconds", "ml_refusals_total", "ml_signal_holds_last_hour",
        "ml_band_coverage_ratio", "ml_exchange_used_weight", "ml_queue_depth", "ml_model_loaded_is_promoted",
        "ml_release_calendar_seconds",
    ):  # fmt: skip
        assert f"# HELP {name} " in text, name


def test_events_of_windows_are_summed_over_processes(processes, monkeypatch):
    monkeypatch.setattr("mlengine_project.operations.monitoring.background_refresher.measures", processes[1])
    windows = live_windows.of_source("simulated")
    refresher = BackgroundRefresher()
    windows.counts.update(filled=1, compared=7)
    refresher.refresh()
    windows.counts.update(compared=9, different=1)
    refresher.refresh()
    refresher.refresh()
    process_state.drop(WindowsBySource)
    reported = {key[1]: value for key, value in scraped().items() if key[0] == "ml_live_windows_total"}
    assert reported == {"filled": 1.0, "compared": 9.0, "different": 1.0}
