"""Archive of old rows: atomic files, repeatable steps, an unbroken chain across the cut."""

import errno
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from marketdata import clock
from marketdata.models import Market
from marketdata.process_state import process_state
from predictions.errors import InvalidRequest
from predictions.log import archive, archive_files
from predictions.models import ChainCut, PredictionLog
from predictions.scoring.outcomes import score_predictions
from signals import backlog, services
from signals.backlog import Sweep
from signals.delivery import replay
from signals.drafting import Draft
from signals.log import queries
from signals.log.archive import SIGNALS
from signals.log.recording import record
from signals.models import OutboxMessage, SignalLog
from signals.tasks import archive_logs
from tests.champions import BEGIN, STEP, at_close_of, make_markets, store_candles

NEWEST = BEGIN - STEP
SOURCES = ("exchange", "simulated")
OLD, HOT = 5, 7
"""Candles with signals per market: old ones are archived, hot ones stay."""


@pytest.fixture
def engine(champions, settings, tmp_path, monkeypatch):
    """Twelve candles with scored predictions; a day and five candles after the first of them."""
    monkeypatch.setattr("signals.services.marketdata.sync_candles", lambda markets, frames=(): None)
    settings.ARCHIVE_PATH, settings.SIGNAL_RETENTION_DAYS = tmp_path / "archive", 1
    markets = make_markets()
    for newest, first, count in (
        (NEWEST, BEGIN, 0),
        (BEGIN + 3 * STEP, BEGIN, 4),
        (BEGIN + 10 * STEP, BEGIN + 4 * STEP, 7),
    ):
        for market in markets:
            store_candles(market, first, count)
        with clock.use(at_close_of(newest)):
            services.advance()
    for market in markets:
        store_candles(market, BEGIN + 11 * STEP, 80)
        store_candles(market, BEGIN + 293 * STEP, 1)
    with clock.use(later()):
        score_predictions()
    return markets


def later():
    return at_close_of(BEGIN + 293 * STEP)


def archive_all():
    with clock.use(later()):
        archive_logs()


def verify(*words):
    out = StringIO()
    call_command("verify_track_record", *words, stdout=out, stderr=out)
    return out.getvalue()


def counts():
    return PredictionLog.objects.count(), SignalLog.objects.count(), OutboxMessage.objects.count()


ALL, LEFT = (96, 24, 24), (8 * HOT, 2 * HOT, 2 * HOT)


def test_old_rows_are_archived_without_loss_and_the_record_is_still_verified(engine):
    before = {row.pk: row for row in PredictionLog.objects.filter(market=engine[0])}
    assert counts() == ALL
    archive_all()
    assert counts() == LEFT
    cut = ChainCut.objects.get(market=engine[0], log="predictions")
    assert (cut.first_index, cut.index) == (1, 4 * OLD)
    found = list(archive_files.read_rows(archive.file_of(cut), PredictionLog))
    assert len(found) == 4 * OLD
    for row in found:
        for field in PredictionLog._meta.concrete_fields:
            assert getattr(row, field.attname) == getattr(before[row.pk], field.attname), field.name
    assert f"{4 * HOT} predictions and {HOT} signals in unbroken chains, {4 * HOT} scores" in verify()
    report = verify("--archive")
    assert f"{4 * 12} scores recomputed" in report
    assert f"{5 * OLD} of the rows from the archive" in report
    archive_all()
    assert counts() == LEFT
    assert ChainCut.objects.count() == 4


def test_the_live_record_continues_after_the_cut_and_archived_candles_are_not_pending(engine):
    archive_all()
    for market in engine:
        store_candles(market, BEGIN + 91 * STEP, 202)
    with clock.use(at_close_of(BEGIN + 20 * STEP)):  # a market clock set back by almost a day
        process_state.drop(Sweep)
        found = [backlog.older_pending(engine), backlog.recent_pending(engine)]
        pending = [open_ms for work in found for opens in work.values() for open_ms in opens]
        assert pending
        assert min(pending) > BEGIN + 3 * STEP
    with clock.use(later()):
        services.advance()
    assert SignalLog.objects.filter(market=engine[0]).count() == HOT + 283
    assert "BTCUSDT" in verify("--archive")


def test_a_replay_from_an_archived_seq_is_refused_and_names_the_first_one(engine):
    archive_all()
    assert replay.first_seq("BTCUSDT") == OLD + 1
    with pytest.raises(InvalidRequest, match=f"the first signal is {OLD + 1}"):
        queries.replayed(queries.NEWEST_FIRST, "BTCUSDT", OLD - 1)
    rows = queries.replayed(queries.logged("BTCUSDT", None, None, None), "BTCUSDT", OLD).rows
    assert next(row.seq for row in rows) == OLD + 1


def test_a_symbol_with_two_markets_is_replayed_after_the_cuts_of_both(db):
    # The inactive market keeps its rows, but the cut of the other one leaves a gap after them.
    real, simulated = (Market.objects.create(symbol="BTCUSDT", source=source, enabled=False) for source in SOURCES)
    with clock.use(at_close_of(NEWEST)):
        record([Draft(simulated, NEWEST, 100.0, reasons=["LATE"])], BEGIN)
        record([Draft(real, BEGIN + k * STEP, 100.0, reasons=["LATE"]) for k in range(3)], BEGIN)
    assert replay.first_seq("BTCUSDT") == 1
    cut = {"first_index": 1, "index": 2, "last_seq": 3, "written_at": clock.wall_now()}
    ChainCut.objects.create(market=real, log="signals", **cut)
    assert replay.first_seq("BTCUSDT") == 4


@pytest.mark.parametrize("broken", ["file", "row", "middle"])
def test_the_next_run_recovers_from_a_crash_after_any_step(engine, monkeypatch, broken):
    class Crash(BaseException):
        pass

    def crash(*args, **named):
        raise Crash

    monkeypatch.setattr(archive, "DELETE_BATCH_ROWS", 3)
    with monkeypatch.context() as patch:
        if broken == "file":
            patch.setattr(ChainCut.objects, "create", crash)
        elif broken == "row":
            patch.setattr(archive, "file_of", crash)
        else:
            done = []

            def once(keys):
                if done:
                    raise Crash
                done.append(keys)
                PredictionLog.objects.filter(pk__in=keys).delete()

            patch.setattr(archive, "PREDICTIONS", replace(archive.PREDICTIONS, remove=once))
        with pytest.raises(Crash):
            archive_all()
    left = {"file": 96, "row": 96, "middle": 93}[broken]
    assert counts()[0] == left
    assert "BTCUSDT" in verify("--archive")
    archive_all()
    assert counts() == LEFT
    assert f"{4 * 12} scores recomputed" in verify("--archive")
    assert not list(archive.settings.ARCHIVE_PATH.rglob(".*.parquet"))


def test_a_full_disk_changes_nothing(engine, settings, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive_files.os, "fsync", full)
        archive_all()
    assert counts() == ALL
    assert not ChainCut.objects.exists()
    assert not list(settings.ARCHIVE_PATH.rglob("*.parquet"))
    archive_all()
    assert counts() == LEFT


def test_rows_whose_file_was_lost_or_changed_are_never_deleted(engine, settings, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_remove", lambda *_: 0)
        archive_all()
    assert counts() == ALL
    for path in settings.ARCHIVE_PATH.rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    archive_all()
    assert counts() == ALL
    with pytest.raises(CommandError):
        verify("--archive")


def test_a_changed_row_stops_the_archive_before_anything_is_written(engine):
    PredictionLog.objects.filter(market=engine[0], chain_index=3).update(late=True)
    archive_all()
    assert not ChainCut.objects.filter(market=engine[0], log="predictions").exists()
    assert PredictionLog.objects.filter(market=engine[0]).count() == 48
    assert PredictionLog.objects.filter(market=engine[1]).count() == 4 * HOT


def test_unscored_and_unsent_rows_are_kept_unless_they_can_never_be_scored(engine):
    PredictionLog.objects.filter(market=engine[0], chain_index=9).update(outcome_final=False)
    OutboxMessage.objects.filter(symbol="ETHUSDT", seq=3).update(sent_at=None)
    archive_all()
    assert ChainCut.objects.get(market=engine[0], log="predictions").index == 8
    assert ChainCut.objects.get(market=engine[1], log="signals").index == 2
    market = engine[0]
    market.candles.filter(open_time=BEGIN + 6 * STEP).delete()
    archive_all()
    assert ChainCut.objects.filter(market=market, log="predictions").latest("index").index == 4 * OLD


def test_a_second_writer_finds_the_archive_locked(engine, settings):
    with archive_files.exclusive_lock(settings.ARCHIVE_PATH) as first:
        assert first
        archive_all()
    assert counts() == ALL


def test_rows_are_cut_oldest_first_and_a_missing_index_is_detected(engine):
    archive_all()
    SignalLog.objects.filter(market=engine[0], chain_index=OLD + 1).update(chain_index=OLD + 900)
    with pytest.raises(CommandError):
        verify()
    assert archive.newest_cut(engine[0], SIGNALS.log).last_seq == OLD
