"""Loaded ensemble of champions in this process, updated within a second of a promotion.

A champion whose artifact is damaged never replaces a loaded estimator: the last good one of its kind keeps serving and
the failure is reported by `load_failures`.
"""

import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection

from marketdata import clock
from marketdata.process_state import process_state
from modelregistry.artifacts import loading, model_root, reading, verification
from modelregistry.errors import FilesRemovedError, ModelLoadError
from modelregistry.estimators.kinds import KINDS, Estimator
from modelregistry.models import ModelVersion

if TYPE_CHECKING:
    from modelregistry.estimators.ensemble import Ensemble

logger = logging.getLogger(__name__)

RECHECK_SECONDS = 1.0
"""Seconds between checks of the champions in the database."""
RETRY_SECONDS = 30.0
"""Seconds before loading a failed champion is tried again."""
KEPT_ESTIMATORS = 8


@dataclass(frozen=True)
class LoadFailure:
    """A champion that could not be loaded, and why."""

    source: str
    kind: str
    version_id: str
    digest: str
    message: str
    since: datetime


@dataclass
class _LoadedVersion:
    """A loaded estimator and its version."""

    version: ModelVersion
    estimator: Any


@dataclass
class _Serving:
    """Loaded champions of one source in this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    checked_at: float | None = None
    champion_ids: frozenset[tuple[str, str]] = frozenset()
    loaded: dict[str, _LoadedVersion] = field(default_factory=dict)
    failures: dict[str, LoadFailure] = field(default_factory=dict)
    retry_at: float = 0.0
    ensemble: "Ensemble | None" = None


class LoadedVersions:
    """Loaded champions of this process by source, and the newest loaded estimators."""

    def __init__(self) -> None:
        self.serving: defaultdict[str, _Serving] = defaultdict(_Serving)
        self.estimators: OrderedDict[tuple[str, str], tuple[reading.Signature, Estimator]] = OrderedDict()
        self.lock = threading.Lock()


def load_ensemble(source: str, wait_seconds: float = 0.0) -> "Ensemble | None":
    """Return the ensemble of the champions of `source`, or None if none can be loaded.

    Cheap to call for every request: the database is queried at most once a second, and only a
    champion not yet in memory is loaded. While one thread loads, the others keep the old ensemble,
    at once or after `wait_seconds`. Where there is none, every call queries the database and waits
    for the load: a champion that exists is never reported as missing.
    """
    serving = process_state.of(LoadedVersions).serving[source]
    if _is_fresh(serving):
        return serving.ensemble
    if not serving.lock.acquire(timeout=-1 if serving.ensemble is None else wait_seconds):
        return serving.ensemble
    try:
        if not _is_fresh(serving):
            _refresh(source, serving)
    finally:
        serving.lock.release()
    return serving.ensemble


def serving_ensemble(source: str) -> "Ensemble | None":
    """Return the ensemble in use after one query of the champions; new ones are loaded by another thread.

    For callers that must not wait for a load: the ensemble in use keeps serving until the new one is complete.
    """
    serving = process_state.of(LoadedVersions).serving[source]
    if serving.ensemble is None:
        return load_ensemble(source)
    if serving.lock.acquire(blocking=False):  # else champions are being loaded
        try:
            if _must_load(serving, _champion_ids(source)):
                serving.checked_at = float("-inf")
                threading.Thread(target=_load_and_close, args=(source,), name="champions", daemon=True).start()
            else:
                serving.checked_at = clock.monotonic()
        finally:
            serving.lock.release()
    return serving.ensemble


def load_version(version: ModelVersion) -> Estimator:
    """Return the estimator of a version, verified in a child process before loading.

    Raises
    ------
    ModelLoadError
        If its artifact is damaged, does not reproduce its golden rows, needs other features, or was removed.
    """
    require_files(version)
    root, key = model_root(), (version.kind, version.digest)
    now = reading.signature(root, *key)
    kept = process_state.of(LoadedVersions)
    with kept.lock:
        then, estimator = kept.estimators.get(key, ((), None))
        if estimator is not None and then == now:
            kept.estimators.move_to_end(key)
            return estimator
    verification.require_verified(root, *key)
    estimator = loading.load_serving(reading.read_artifact(root, *key))
    with kept.lock:
        kept.estimators[key] = (now, estimator)
        while len(kept.estimators) > KEPT_ESTIMATORS:
            kept.estimators.popitem(last=False)
    return estimator


def require_files(version: ModelVersion) -> None:
    """Raise FilesRemovedError if retention has removed the files of a version."""
    if version.files_removed_at is not None:
        raise FilesRemovedError(
            f"{version} keeps only its report: its files were removed on {version.files_removed_at:%Y-%m-%d} "
            f"({version.files_removed_reason}); choose a version that keeps its files, or train again"
        )


def require_parts(version: ModelVersion) -> None:
    """Raise ModelLoadError if a version needs a feature or an estimator that is not installed, by name."""
    manifest = reading.read_manifest(model_root(), version.kind, version.digest)
    loading.own_columns(version.kind, version.digest, manifest)


def unusable_champions() -> list[str]:
    """Why champions cannot be used for lack of their features or estimator, as sentences."""
    found = []
    for version in ModelVersion.objects.filter(stage=ModelVersion.Stage.CHAMPION).order_by("source", "kind"):
        try:
            manifest = reading.read_manifest(model_root(), version.kind, version.digest)
        except ModelLoadError:  # damaged or lost files are reported by health and doctor
            continue
        try:
            loading.own_columns(version.kind, version.digest, manifest)
        except ModelLoadError as error:
            found.append(f"The champion {error}; install it, or promote another version with `promote_model`.")
    return found


def ensemble_of(versions: Iterable[ModelVersion]) -> "Ensemble":
    """Ensemble of the given versions, at most one per kind."""
    return _combine({version.kind: _LoadedVersion(version, load_version(version)) for version in versions})


def loaded_versions() -> dict[str, dict[str, str]]:
    """Ids of the versions loaded in this process, by source and kind."""
    return {
        source: {kind: str(entry.version.pk) for kind, entry in sorted(serving.loaded.items())}
        for source, serving in sorted(process_state.of(LoadedVersions).serving.items())
        if serving.loaded
    }


def load_failures() -> list[LoadFailure]:
    """Champions this process could not load."""
    by_source = sorted(process_state.of(LoadedVersions).serving.items())
    return [failure for _, serving in by_source for failure in serving.failures.values()]


def recheck_champions() -> None:
    """Make the next call query the database."""
    for serving in process_state.of(LoadedVersions).serving.values():
        serving.checked_at = None if serving.checked_at is None else float("-inf")


def _is_fresh(serving: _Serving) -> bool:
    if serving.ensemble is None or serving.checked_at is None:
        return False
    return 0 <= clock.monotonic() - serving.checked_at < RECHECK_SECONDS


def _refresh(source: str, serving: _Serving) -> None:
    """Query the champions and load those not yet in memory."""
    champion_ids = _champion_ids(source)
    if _must_load(serving, champion_ids):
        champions = ModelVersion.objects.filter(source=source, stage=ModelVersion.Stage.CHAMPION)
        _load_champions(source, serving, list(champions.filter(pk__in=[pk for _, pk in champion_ids])))
        serving.champion_ids = champion_ids
        serving.retry_at = clock.monotonic() + RETRY_SECONDS
    serving.checked_at = clock.monotonic()


def _champion_ids(source: str) -> frozenset[tuple[str, str]]:
    """Kind and id of each champion in the database."""
    with connection.cursor() as cursor:  # at every close, where the ORM would cost more than the database
        cursor.execute(
            f"SELECT kind, id FROM {ModelVersion._meta.db_table} WHERE source = %s AND stage = %s",  # noqa: S608, SLF001
            [source, ModelVersion.Stage.CHAMPION.value],
        )
        return frozenset((kind, str(pk)) for kind, pk in cursor.fetchall())


def _must_load(serving: _Serving, champion_ids: frozenset[tuple[str, str]]) -> bool:
    """Whether champions changed, or one that failed is due to be tried again."""
    is_due = bool(serving.failures) and clock.monotonic() >= serving.retry_at
    return champion_ids != serving.champion_ids or is_due


def _load_and_close(source: str) -> None:
    """Load champions in a thread of their own; a failure is met again by the next check."""
    try:
        load_ensemble(source, wait_seconds=RETRY_SECONDS)  # the thread that started this one holds the lock
    except DatabaseError as error:
        logger.warning("champions were not loaded: %s", type(error).__name__)
    finally:
        connection.close()


def _load_champions(source: str, serving: _Serving, champions: list[ModelVersion]) -> None:
    """Replace loaded versions by the champions; one that fails to load keeps the old entry."""
    # One child process verifies all of them.
    missing = [version for version in champions if _loaded(serving, version) is None]
    verification.verify_in_child(model_root(), [(version.kind, version.digest) for version in missing])
    loaded = {
        kind: entry for kind, entry in serving.loaded.items() if any(kind == version.kind for version in champions)
    }
    failures = {}
    for version in champions:
        try:
            loaded[version.kind] = _loaded(serving, version) or _LoadedVersion(version, load_version(version))
        except ModelLoadError as error:
            failures[version.kind] = _failure(source, serving, version, str(error))
    try:
        ensemble = _combine(loaded) if loaded else None
    except (LookupError, ValueError) as error:
        serving.failures = {
            version.kind: _failure(source, serving, version, f"it cannot be combined: {error}") for version in missing
        }
        return
    serving.loaded, serving.failures, serving.ensemble = loaded, failures, ensemble


def _loaded(serving: _Serving, version: ModelVersion) -> _LoadedVersion | None:
    entry = serving.loaded.get(version.kind)
    return entry if entry is not None and entry.version.pk == version.pk else None


def _failure(source: str, serving: _Serving, version: ModelVersion, message: str) -> LoadFailure:
    known = serving.failures.get(version.kind)
    if known is not None and known.version_id == str(version.pk) and known.message == message:
        return known
    logger.error("champion %s %s is not serving: %s", version.kind, version.pk, message)
    return LoadFailure(source, version.kind, str(version.pk), version.digest, message, clock.wall_now())


def _combine(loaded: dict[str, _LoadedVersion]) -> "Ensemble":
    from modelregistry.estimators.ensemble import Ensemble

    versions = {kind: entry.version for kind, entry in loaded.items()}
    ranges, tpsl, signal = (loaded[kind].estimator if kind in loaded else None for kind in KINDS)
    return Ensemble(
        ranges,
        tpsl,
        signal,
        versions={kind: str(version.pk) for kind, version in versions.items()},
        symbols={kind: list(version.symbols) for kind, version in versions.items()},
        trained_until={kind: version.trained_until for kind, version in versions.items()},
    )
