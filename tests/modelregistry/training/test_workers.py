"""One training by several processes: the same bytes as by one, whatever is killed, fails or is cancelled."""

import os
import signal
import time
from threading import Timer

import numpy as np
import psutil
import pytest

from indicators.candles import CANDLE_COLUMNS
from indicators.features import WARMUP
from modelregistry.dataset.rows import COLUMNS, MarketCandles, build_dataset, interleave
from modelregistry.errors import TrainingError
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.pipeline import Cancelled, TrainingRequest, train_kinds
from modelregistry.training.workers import Workers
from tests.modelregistry import invented

KINDS = ("range_predictor", "signal_classifier")
PLAN = TrainingPlan(stride=12, folds=1, test_days=4, cross_blocks=2, marks=(4, 8), residual_rounds=5, seed=1, threads=2)
PARTS = 4
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
HORIZONS = (6, 18)
STRIDE = 3


TRAINING_STEPS = 1 + PARTS + 2 * len(KINDS)
"""The rows of one market before the parts, a score and a report of each kind after."""


def assert_complete(reported):
    """Every step is reported, each nearer to the end."""
    done = [step[0] for step in reported]
    assert len(done) == TRAINING_STEPS
    assert done == sorted(set(done))
    assert {step[1] for step in reported} == {done[-1]}


@pytest.fixture(scope="module")
def request_():
    return TrainingRequest(
        invented.grid(WARMUP + 16 * 288, seed=5), ("AUSDT",), "simulated", KINDS, (6, 18), PLAN, costs=0.0021
    )


@pytest.fixture(scope="module")
def alone(request_):
    return train_kinds(request_)


@pytest.fixture(scope="module")
def grid():
    """Three markets: one whole, one that misses a day, one that began late."""
    made = invented.grid(WARMUP + 900, markets=3, seed=9)
    for name in CANDLE_COLUMNS:
        getattr(made, name)[1, WARMUP + 300 : WARMUP + 588] = np.nan
        getattr(made, name)[2, :500] = np.nan
    return made


@pytest.fixture(scope="module")
def markets(grid):
    return [MarketCandles(symbol, grid.select(code), HORIZONS, STRIDE) for code, symbol in enumerate(SYMBOLS)]


@pytest.fixture(scope="module")
def whole(grid):
    return build_dataset(grid, SYMBOLS, HORIZONS, STRIDE)


@pytest.fixture
def files(monkeypatch, tmp_path):
    """The folder where arrays lie that processes share."""
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path))
    return tmp_path


def same(one, other):
    return all(
        one[kind].estimator.to_files() == other[kind].estimator.to_files()
        and one[kind].manifest_fields == other[kind].manifest_fields
        and one[kind].golden_rows == other[kind].golden_rows
        and one[kind].report == other[kind].report
        for kind in KINDS
    )


def assert_same(one, other):
    assert (one.symbols, one.horizons, one.stride) == (other.symbols, other.horizons, other.stride)
    for name in COLUMNS:
        found, expected = getattr(one, name), getattr(other, name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes(), name


def processes():
    """The processes that compute parts now."""
    found = []
    for child in psutil.Process().children():
        try:
            if any("popen_loky" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            pass
    return found


def kill_processes():
    for process in processes():
        process.kill()


def have_ended():
    """Whether no process computes any more, at the latest after some seconds."""
    _, alive = psutil.wait_procs(processes(), timeout=10)
    return not alive


def silent(_message):
    """Ignore the report."""


def array_type(array):
    return type(array).__name__


def killed(_number):
    os.kill(os.getpid(), signal.SIGKILL)


def failing(number):
    raise TrainingError(f"part {number} has too few rows")


def test_two_processes_make_the_bytes_of_one_and_tell_how_far_they_are(request_, alone):
    reported = []
    assert same(train_kinds(request_, lambda *step: reported.append(step), None, Workers(2)), alone)
    assert_complete(reported)
    assert reported[0][2] == "candles, features and labels: rows of AUSDT"
    assert {step[2].split(": ", 1)[1] for step in reported if step[2].endswith("done")} == {
        f"{stretch}: {kind}: done" for stretch in ("fold 1", "all candles") for kind in KINDS
    }


def test_rows_built_apart_are_those_built_together(grid, markets, whole):
    reported = []
    assert_same(interleave(list(Workers().build(markets, reported.append)), grid), whole)
    assert reported == [f"rows of {symbol}" for symbol in SYMBOLS]
    assert len({int(code) for code in whole.market}) == len(SYMBOLS)


def test_rows_built_by_three_processes_are_those_built_together(grid, markets, whole):
    reported = []
    assert_same(interleave(list(Workers(3).build(markets, reported.append)), grid), whole)
    assert sorted(reported) == [f"rows of {symbol}" for symbol in SYMBOLS]


def test_an_earliest_row_holds_for_every_market(grid):
    first = int(grid.open_time[WARMUP + 200])
    markets = [MarketCandles(symbol, grid.select(code), HORIZONS, STRIDE, first) for code, symbol in enumerate(SYMBOLS)]
    apart = interleave([market.build() for market in markets], grid)
    assert_same(apart, build_dataset(grid, SYMBOLS, HORIZONS, STRIDE, first=first))
    assert apart.open_time.min() >= first


def test_processes_map_large_arrays_instead_of_copying_them(files):
    large, small = np.zeros(200_000), np.zeros(2)
    found = list(Workers(2)._results(array_type, [(large,), (small,)], ["large", "small"], silent))
    assert found == ["memmap", "ndarray"]


def test_a_process_killed_amid_its_part_is_replaced(request_, alone):
    reported = []

    def progress(_done, _total, message):
        reported.append(message)
        if sum(message.endswith("done") for message in reported) == 1:
            kill_processes()

    assert same(train_kinds(request_, progress, None, Workers(2)), alone)
    assert len(reported) == TRAINING_STEPS, "what was done before is not done again"


def test_processes_killed_again_and_again_end_the_run_with_a_reason():
    with pytest.raises(TrainingError, match="killed repeatedly"):
        list(Workers(2)._results(killed, [(0,), (1,)], ["", ""], silent))
    assert have_ended()


def test_a_part_that_fails_ends_the_run_with_its_reason():
    with pytest.raises(TrainingError, match="part 0 has too few rows"):
        list(Workers(2)._results(failing, [(0,), (0,)], ["", ""], silent))
    assert have_ended()


def test_a_cancel_ends_the_run_and_its_processes(request_, files):
    reported = []
    with pytest.raises(Cancelled):
        train_kinds(request_, lambda *step: reported.append(step), lambda: len(reported) >= 3, Workers(2))
    assert len(reported) == 3
    assert have_ended()
    assert list(files.iterdir()) == []


def test_a_cancel_while_rows_are_built_ends_the_processes(markets):
    def cancelled(message):
        raise TrainingError("cancelled")

    with pytest.raises(TrainingError, match="cancelled"):
        list(Workers(2).build(markets, cancelled))
    assert have_ended()


def test_a_signal_ends_the_run_and_its_processes(request_):
    def progress(_done, _total, message):
        if message.endswith("rows of AUSDT"):
            Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            train_kinds(request_, progress, None, Workers(2))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - started < 30
    assert have_ended()


@pytest.fixture(scope="module")
def cluster():
    """The address of a Dask scheduler with two workers, processes of this machine."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: uv sync --group cluster")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made:
        yield made.scheduler_address


def test_two_workers_of_a_dask_cluster_make_the_bytes_of_one_process(request_, alone, cluster):
    reported = []
    workers = Workers(dask_scheduler=cluster)
    assert same(train_kinds(request_, lambda *step: reported.append(step), None, workers), alone)
    assert_complete(reported)
    assert not processes(), "the cluster computes, not this machine"


def test_a_part_that_kills_the_workers_of_a_cluster_ends_the_run_with_a_reason(cluster):
    with pytest.raises(TrainingError, match=r"\(DASK_SCHEDULER\) failed: .*workers died"):
        list(Workers(dask_scheduler=cluster)._results(killed, [(0,), (1,)], ["", ""], silent))


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed: uv sync --group cluster")
    monkeypatch.setattr("modelregistry.training.workers.CONNECT_SECONDS", 0.5)
    with pytest.raises(TrainingError, match=r"tcp://127\.0\.0\.1:1 "):
        list(Workers(dask_scheduler="tcp://127.0.0.1:1")._results(array_type, [(0,)], [""], silent))
