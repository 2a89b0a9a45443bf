"""Computes the parts of a training in this process, in several processes, or on the workers of a Dask cluster."""

import logging
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib._dask import DaskDistributedBackend  # joblib has no public name for it
from joblib.externals.loky import BrokenProcessPool

from modelregistry.dataset.rows import Dataset, MarketCandles
from modelregistry.errors import TrainingError
from modelregistry.estimators.kinds import Estimator
from modelregistry.training.kinds import Tick
from modelregistry.training.parts import Part, Workload, fit_part

ATTEMPTS = 2
"""How often processes are started for the parts that are left: one that was killed is replaced once."""
CONNECT_SECONDS = 10
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """Where the parts of a training are computed; it changes no byte of the outcome.

    Parameters
    ----------
    processes : int
        On this machine; 1 computes in the calling process.
    dask_scheduler : str
        Address of a Dask scheduler; then its workers compute, however many there are.
    """

    processes: int = 1
    dask_scheduler: str = ""

    @property
    def in_process(self) -> bool:
        """Whether the calling process computes everything."""
        return self.processes == 1 and not self.dask_scheduler

    def build(self, markets: Sequence[MarketCandles], tick: Tick) -> Generator[Dataset]:
        """Build the rows of every market, in the order of the markets."""
        calls = [(market,) for market in markets]
        yield from self._results(MarketCandles.build, calls, [f"rows of {market.symbol}" for market in markets], tick)

    def fit(self, workload: Workload, parts: Sequence[Part], tick: Tick) -> Generator[dict[str, Estimator]]:
        """Fit the estimators of every part, in the order of the parts."""
        if self.in_process:
            for part in parts:
                yield fit_part(workload, part, tick)
        else:
            calls = [(workload, part) for part in parts]
            yield from self._results(fit_part, calls, [f"{part.name}: done" for part in parts], tick)

    def _results(
        self, function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], names: Sequence[str], tick: Tick
    ) -> Generator[Result]:
        """Yield what the function returns for each tuple of arguments, in their order."""
        if self.in_process:
            for arguments, name in zip(calls, names, strict=True):
                result = function(*arguments)
                tick(name)
                yield result
            return
        finished: dict[int, Result] = {}
        with closing(self._as_completed(function, calls)) as completed:
            for number in range(len(calls)):
                while number not in finished:
                    position, result = next(completed)
                    finished[position] = result
                    tick(names[position])
                yield finished.pop(number)

    def _as_completed(
        self, function: Callable[..., Result], calls: Sequence[tuple[Any, ...]]
    ) -> Generator[tuple[int, Result]]:
        """Yield position and result of every call as soon as it has completed.

        Raises
        ------
        TrainingError
            If processes were killed again and again, or the cluster cannot be reached or is lost.
        """
        missing = set(range(len(calls)))
        for _ in range(ATTEMPTS):
            # From the last, which is fitted on all candles and takes longest.
            tasks = [delayed(_numbered)(number, function, *calls[number]) for number in sorted(missing, reverse=True)]
            try:
                with self._parallel(calls) as parallel, _quietly_closing(parallel(tasks)) as results:
                    for number, result in results:
                        missing.remove(number)
                        yield number, result
            except BrokenProcessPool as error:
                logger.warning("a process of the training was killed, %d parts begin again: %s", len(missing), error)
            else:
                return
        raise TrainingError(
            "processes of the training were killed repeatedly, perhaps for lack of memory; try fewer --workers"
        )

    @contextmanager
    def _parallel(self, calls: Sequence[tuple[Any, ...]]) -> Iterator[Parallel]:
        options: dict[str, Any] = {"batch_size": 1, "return_as": "generator_unordered"}
        if not self.dask_scheduler:
            yield Parallel(self.processes, backend="loky", **options)
            return
        with _dask_client(self.dask_scheduler) as client:
            shared = {id(one): one for arguments in calls for one in arguments if isinstance(one, Workload)}
            with parallel_config(_DaskBackend(client=client, scatter=list(shared.values()))):
                parallel = Parallel(**options)
            yield parallel


IN_PROCESS = Workers()


class _DaskBackend(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
    """joblib's backend for Dask, without two of its traps."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        # For one worker joblib would compute in the calling process instead.
        return max(2, super().effective_n_jobs(n_jobs))

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None]) -> "Future[Any]":
        # The scheduler gives a part up when several workers died of it; joblib would wait for it forever.
        future = super().submit(func, callback)
        future.add_done_callback(lambda ended: callback(ended) if ended.exception() else None)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        return out.result() if isinstance(out, Future) else super().retrieve_result_callback(out)


@contextmanager
def _dask_client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise TrainingError("DASK_SCHEDULER is set, but Dask is not installed: `uv sync --group cluster`") from error
    try:
        with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            # A worker without the project's code would die of the first part, and the run would wait for another one.
            client.run(import_module, __name__)
            yield client
    except (OSError, ImportError, KilledWorker, CancelledError) as error:
        raise TrainingError(f"the Dask cluster at {address} (DASK_SCHEDULER) failed: {error}") from error


@contextmanager
def _quietly_closing(results: Generator[Any]) -> Iterator[Generator[Any]]:
    """Close results on leaving, which ends what still computes; joblib would warn of every part that is lost."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.close()


def _numbered(number: int, function: Callable[..., Result], *arguments: Any) -> tuple[int, Result]:
    return number, function(*arguments)
