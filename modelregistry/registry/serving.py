"""The ensemble of champions in this process's memory, following the registry within a second.

A champion whose artifact is damaged never replaces what is loaded: the last good estimator of its
kind keeps serving and the failure is told by `load_failures`.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from marketdata import clock
from modelregistry.artifacts import loading, model_root, reading, verification
from modelregistry.errors import FilesRemovedError, ModelLoadError
from modelregistry.models import ModelVersion

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long a process may go without asking who the champions are."""
RETRY_SECONDS = 30.0
"""How long a champion that could not be loaded is left alone."""
KEPT_ESTIMATORS = 8


@dataclass(frozen=True)
class LoadFailure:
    """A champion that is not serving, and why."""

    source: str
    kind: str
    version_id: str
    digest: str
    message: str
    since: datetime


@dataclass
class _Seat:
    """One estimator that serves, and the version it is."""

    version: ModelVersion
    estimator: Any


@dataclass
class _Serving:
    """What one source's champions look like from this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    looked_at: float | None = None
    crowned: frozenset[tuple[str, str]] = frozenset()
    seats: dict[str, _Seat] = field(default_factory=dict)
    failures: dict[str, LoadFailure] = field(default_factory=dict)
    retry_at: float = 0.0
    ensemble: Any = None


_serving: dict[str, _Serving] = {}
_estimators: OrderedDict[tuple[str, str], tuple[reading.Signature, Any]] = OrderedDict()
_estimators_lock = threading.Lock()


def load_ensemble(source: str, wait_seconds: float = 0.0) -> Any:
    """Return the ensemble of the champions of `source`, or None where no champion can serve.

    Cheap to call for every request: the database is queried at most once a second, and only a
    champion not yet in memory is loaded. While one thread loads, the others keep the old ensemble,
    at once or after `wait_seconds`. Where there is none, every call queries the database and waits
    for the load: a champion that exists is never reported as missing.
    """
    serving = _serving.setdefault(source, _Serving())
    if _is_fresh(serving):
        return serving.ensemble
    if not serving.lock.acquire(timeout=-1 if serving.ensemble is None else wait_seconds):
        return serving.ensemble
    try:
        if not _is_fresh(serving):
            _follow(source, serving)
    finally:
        serving.lock.release()
    return serving.ensemble


def load_version(version: ModelVersion) -> Any:
    """Return the estimator of any version, verified in a child process before it is loaded here.

    Raises
    ------
    ModelLoadError
        If its artifact is damaged, does not reproduce its golden rows, needs other features, or was removed.
    """
    require_files(version)
    root, key = model_root(), (version.kind, version.digest)
    now = reading.signature(root, *key)
    with _estimators_lock:
        then, estimator = _estimators.get(key, ((), None))
        if estimator is not None and then == now:
            _estimators.move_to_end(key)
            return estimator
    verification.require_verified(root, *key)
    estimator = loading.load_estimator(reading.read_artifact(root, *key))
    with _estimators_lock:
        _estimators[key] = (now, estimator)
        while len(_estimators) > KEPT_ESTIMATORS:
            _estimators.popitem(last=False)
    return estimator


def require_files(version: ModelVersion) -> None:
    """Raise FilesRemovedError where retention has removed the files of a version."""
    if version.files_removed_at is not None:
        raise FilesRemovedError(
            f"{version} keeps only its report: its files were removed on {version.files_removed_at:%Y-%m-%d} "
            f"({version.files_removed_reason}); choose a version that keeps its files, or train again"
        )


def ensemble_of(versions: Iterable[ModelVersion]) -> Any:
    """Combine these versions, one of a kind at most, as if they were the champions."""
    return _combine({version.kind: _Seat(version, load_version(version)) for version in versions})


def loaded_versions() -> dict[str, dict[str, str]]:
    """Ids of the versions this process serves, by source and kind."""
    return {
        source: {kind: str(seat.version.pk) for kind, seat in sorted(serving.seats.items())}
        for source, serving in sorted(_serving.items())
        if serving.seats
    }


def load_failures() -> list[LoadFailure]:
    """Champions this process could not load; empty when all is well."""
    return [failure for _, serving in sorted(_serving.items()) for failure in serving.failures.values()]


def look_again() -> None:
    """Let the next call ask the database at once."""
    for serving in _serving.values():
        serving.looked_at = None if serving.looked_at is None else float("-inf")


def forget() -> None:
    """Drop everything loaded and every verdict: the next call starts as a new process would."""
    _serving.clear()
    with _estimators_lock:
        _estimators.clear()
    verification.forget()


def _is_fresh(serving: _Serving) -> bool:
    if serving.ensemble is None or serving.looked_at is None:
        return False
    return 0 <= clock.monotonic() - serving.looked_at < LOOK_SECONDS


def _follow(source: str, serving: _Serving) -> None:
    """Ask who the champions are and load those not yet in memory."""
    champions = ModelVersion.objects.filter(source=source, stage=ModelVersion.Stage.CHAMPION)
    crowned = frozenset((kind, str(pk)) for kind, pk in champions.order_by().values_list("kind", "pk"))
    now = clock.monotonic()
    if crowned != serving.crowned or (serving.failures and now >= serving.retry_at):
        _change(source, serving, list(champions.filter(pk__in=[pk for _, pk in crowned])))
        serving.crowned = crowned
        serving.retry_at = clock.monotonic() + RETRY_SECONDS
    serving.looked_at = clock.monotonic()


def _change(source: str, serving: _Serving, champions: list[ModelVersion]) -> None:
    """Put the champions in their seats; one that cannot be loaded leaves the seat as it was."""
    # One child for all of them: a start pays for a single process.
    missing = [version for version in champions if _seated(serving, version) is None]
    verification.verify_in_child(model_root(), [(version.kind, version.digest) for version in missing])
    seats = {kind: seat for kind, seat in serving.seats.items() if any(kind == version.kind for version in champions)}
    failures = {}
    for version in champions:
        try:
            seats[version.kind] = _seated(serving, version) or _Seat(version, load_version(version))
        except ModelLoadError as error:
            failures[version.kind] = _failure(source, serving, version, str(error))
    try:
        ensemble = _combine(seats) if seats else None
    except (LookupError, ValueError) as error:
        serving.failures = {
            version.kind: _failure(source, serving, version, f"it cannot be combined: {error}") for version in missing
        }
        return
    serving.seats, serving.failures, serving.ensemble = seats, failures, ensemble


def _seated(serving: _Serving, version: ModelVersion) -> _Seat | None:
    seat = serving.seats.get(version.kind)
    return seat if seat is not None and seat.version.pk == version.pk else None


def _failure(source: str, serving: _Serving, version: ModelVersion, message: str) -> LoadFailure:
    known = serving.failures.get(version.kind)
    if known is not None and known.version_id == str(version.pk) and known.message == message:
        return known
    logger.error("champion %s %s is not serving: %s", version.kind, version.pk, message)
    return LoadFailure(source, version.kind, str(version.pk), version.digest, message, clock.wall_now())


def _combine(seats: dict[str, _Seat]) -> Any:
    from modelregistry.estimators.ensemble import Ensemble

    def estimator(kind: str) -> Any:
        return seats[kind].estimator if kind in seats else None

    versions = {kind: seat.version for kind, seat in seats.items()}
    return Ensemble(
        range_predictor=estimator("range_predictor"),
        tpsl=estimator("tpsl_classifier"),
        signal=estimator("signal_classifier"),
        versions={kind: str(version.pk) for kind, version in versions.items()},
        symbols={kind: list(version.symbols) for kind, version in versions.items()},
        trained_until={kind: version.trained_until for kind, version in versions.items()},
    )
