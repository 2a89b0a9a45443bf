"""One run fitted by many processes: the same bytes, whoever comes, fails, falls silent or lies."""

import os
import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest

from indicators.features import WARMUP
from marketdata import clock
from modelregistry import hand, spreading
from modelregistry.errors import TrainingError
from modelregistry.models import TrainingPart
from modelregistry.training import part_files
from modelregistry.training.pipeline import Cancelled, TrainingRequest, train_kinds
from modelregistry.training.plan import TrainingPlan
from tests.flows.processes import ROOT, Processes, database_url, start_redis, wait_until
from tests.modelregistry import invented

KINDS = ("range_predictor", "signal_classifier")
PLAN = TrainingPlan(stride=12, folds=1, test_days=4, cross_blocks=2, marks=(4, 8), residual_rounds=5, seed=1, threads=2)
PARTS = 4


@pytest.fixture(scope="module")
def request_():
    return TrainingRequest(
        invented.grid(WARMUP + 16 * 288, seed=5), ("AUSDT",), "simulated", KINDS, (6, 18), PLAN, costs=0.0021
    )


@pytest.fixture(scope="module")
def alone(request_):
    return train_kinds(request_)


def nobody(_run, _hands):
    return lambda: None


def together(invite=nobody, hands=1, what=spreading.fit_together):
    return partial(what, hands=hands, invite=invite)


def same(one, other):
    return all(
        one[kind].estimator.to_files() == other[kind].estimator.to_files()
        and one[kind].manifest_fields == other[kind].manifest_fields
        and one[kind].golden_rows == other[kind].golden_rows
        and one[kind].report == other[kind].report
        for kind in KINDS
    )


@pytest.mark.django_db
def test_a_run_nobody_helps_ends_all_the_same_and_leaves_nothing(request_, alone, model_folder):
    told = []
    found = train_kinds(request_, lambda done, total, message: told.append((done, total)), None, together())
    assert same(found, alone)
    assert told[-1] == (1 + PARTS + len(KINDS),) * 2  # the rows of one market before, a score of each kind after
    assert not TrainingPart.objects.exists()
    assert list((model_folder / spreading.FOLDER).iterdir()) == []


@pytest.mark.django_db
def test_parts_of_a_hand_that_failed_lied_or_fell_silent_are_fitted_by_the_run_itself(request_, alone, model_folder):
    def bad_hands(run, _hands):
        first, second, third, _ = TrainingPart.objects.filter(run=run)
        hour_ago = clock.wall_now() - timedelta(hours=1)
        TrainingPart.objects.filter(pk=first.pk).update(hand="lost", heartbeat_at=hour_ago)
        TrainingPart.objects.filter(pk=second.pk).update(failures=1)
        (model_folder / spreading.FOLDER / run / ("0" * 64)).write_bytes(b"not what its name says")
        TrainingPart.objects.filter(pk=third.pk).update(hand="liar", digest="0" * 64)
        return lambda: None

    assert same(train_kinds(request_, fit=together(bad_hands)), alone)


@pytest.mark.django_db
def test_a_hand_takes_what_is_free_and_nothing_that_failed(request_, alone):
    helped = []

    def one_good_hand(run, _hands):
        rows = TrainingPart.objects.filter(run=run)
        rows.filter(number=0).update(failures=1)
        helped.append(spreading.lend_hand(run))
        assert [bool(row.digest) for row in rows] == [False, True, True, True]
        return lambda: None

    assert same(train_kinds(request_, fit=together(one_good_hand)), alone)
    assert helped == [PARTS - 1]


@pytest.mark.django_db
def test_a_cancel_ends_the_run_and_its_hands(request_, model_folder):
    gone, told = [], []

    def a_hand(run, _hands):
        return lambda: gone.append(run)

    with pytest.raises(Cancelled):
        train_kinds(request_, lambda *step: told.append(step), lambda: len(told) >= 4, together(a_hand))
    assert not TrainingPart.objects.exists()
    assert list((model_folder / spreading.FOLDER).iterdir()) == []
    assert spreading.lend_hand(gone[0]) == 0


@pytest.mark.django_db
def test_a_hand_stops_when_its_part_is_taken_or_the_run_is_over(request_, monkeypatch):
    def over(workload, part, tick):
        TrainingPart.objects.all().delete()
        tick("one more step")

    def hand_of_a_run_that_ends(run, _hands):
        monkeypatch.setattr(spreading, "fit_part", over)
        assert spreading.lend_hand(run) == 0
        raise TrainingError("over")

    with pytest.raises(TrainingError, match="over"):
        train_kinds(request_, fit=together(hand_of_a_run_that_ends))


def test_files_bring_the_workload_back_and_are_not_believed_when_they_changed(request_, tmp_path, alone):
    kept = []

    def look(workload, parts, tick):
        kept.append(workload)
        raise TrainingError("seen")
        yield

    with pytest.raises(TrainingError, match="seen"):
        train_kinds(request_, fit=look)
    digest = part_files.write_workload(tmp_path, kept[0])
    back = part_files.read_workload(tmp_path, digest)
    assert back.plan == PLAN
    for name in part_files.COLUMNS:
        column = getattr(kept[0].rows, name)
        assert getattr(back.rows, name).tobytes() == column.tobytes()
        assert getattr(back.rows, name).dtype == column.dtype
    fitted = {kind: trained.estimator for kind, trained in alone.items()}
    digest = part_files.write_estimators(tmp_path, fitted)
    assert part_files.write_estimators(tmp_path, part_files.read_estimators(tmp_path, digest)) == digest
    (tmp_path / digest).write_bytes((tmp_path / digest).read_bytes()[:-1] + b"x")
    with pytest.raises(TrainingError, match="other bytes"):
        part_files.read_estimators(tmp_path, digest)
    with pytest.raises(TrainingError, match="cannot be read"):
        part_files.read_workload(tmp_path, "1" * 64)


@pytest.fixture
def shared(monkeypatch, model_folder, tmp_path):
    """What processes started here must know to see this test's database and models."""
    known = {
        "DATABASE_URL": database_url(),
        "MODEL_PATH": str(model_folder),
        "MLENGINE_STATE_DIR": str(tmp_path),
        "MLENGINE_ENV_FILE": "",
        "SECRET_KEY": "a-secret-key-for-a-test-of-processes-only-0123456789",
        "API_KEY": "test-" + "k" * 40,
    }
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    return known


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_local_processes_help_and_one_killed_amid_its_part_is_replaced(request_, alone, shared, monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)

    def invite(run, hands):
        process = hand.start(run)
        claimed = TrainingPart.objects.filter(run=run).exclude(hand="")
        wait_until(claimed.exists, 120, "a hand claims a part")
        process.kill()
        process.wait()
        claimed.filter(digest="").update(heartbeat_at=clock.wall_now() - timedelta(hours=1))
        return hand.invite_here(run, hands)

    assert same(train_kinds(request_, fit=together(invite)), alone)


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_celery_workers_make_the_bytes_of_one_process(request_, alone, shared, tmp_path):
    redis, redis_url = start_redis(tmp_path)
    processes = Processes(tmp_path, {"REDIS_URL": redis_url})
    celery = [sys.executable, "-m", "celery", "-A", "mlengine_project"]

    def invite(run, hands):
        parts = TrainingPart.objects.filter(run=run)
        for number in range(hands):
            if not seen:
                queue = ["worker", "-Q", "training", "-c", "1", "-n", f"{number}@test", "--without-gossip"]
                processes.start(f"worker-{number}", *celery, *queue)
            subprocess.run(
                [*celery, "call", "modelregistry.tasks.lend_hand", "--args", f'["{run}"]'],
                cwd=ROOT,
                env={**os.environ, "REDIS_URL": redis_url},
                check=True,
                stdout=subprocess.DEVNULL,
            )
        finished = parts.exclude(digest="")
        wait_until(lambda: finished.count() == parts.count(), 300, "the workers do every part\n" + processes.logs())
        seen.update(finished.order_by().values_list("market", "hand"))
        return lambda: None

    seen = set()
    try:
        build = together(invite, hands=2, what=spreading.build_together)
        assert same(train_kinds(request_, fit=together(invite, hands=2), build=build), alone)
    finally:
        processes.stop()
        redis.terminate()
        redis.wait()
    assert {market for market, _ in seen} == {"", "AUSDT"}
    assert not any(f" {os.getpid()} " in name for _, name in seen)
