"""Trial ledger: records every configuration tried and corrects the best for selection bias."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np

from marketdata import clock
from modelregistry.evaluation.significance.multiple_trials import deflated_sharpe, independent_trials
from modelregistry.evaluation.significance.overfitting import BLOCKS, probability_of_overfitting, sharpe
from modelregistry.models import ModelVersion, TrainingTrial

MIN_PERIODS = 30
"""Fewest days for a test of a Sharpe ratio."""


def record_trial(
    *,
    kind: str,
    source: str,
    configuration: Mapping[str, Any],
    actor: str,
    origin: str = TrainingTrial.Origin.RUN,
    study: str = "",
    symbols: Sequence[str] = (),
    score: float | None = None,
    fold_scores: Sequence[float] = (),
    period_scores: Mapping[str, float] | None = None,
    tested_from: datetime | None = None,
    tested_until: datetime | None = None,
    version: ModelVersion | None = None,
    failure: str = "",
) -> TrainingTrial:
    """Record one configuration that was tried; a failure has `score` None and a `failure` text.

    `score` and `fold_scores` are skills against the best reference baseline (1 - loss / baseline loss), `period_scores`
    the gain by ISO day. Values that are not finite are stored as null.
    """
    plain = json.loads(json.dumps(dict(configuration), sort_keys=True, default=_plain))
    return TrainingTrial.objects.create(
        kind=kind,
        source=source,
        origin=origin,
        study=study,
        configuration=plain,
        configuration_digest=digest_of(plain),
        symbols=sorted(symbols),
        score=_finite(score),
        fold_scores=[_finite(one) for one in fold_scores],
        period_scores={day: _finite(gain) for day, gain in (period_scores or {}).items()},
        tested_from=tested_from,
        tested_until=tested_until,
        version=version,
        failure=failure[:300],
        actor=actor[:150],
    )


@contextmanager
def record_unfinished(
    kinds: Sequence[str], source: str, configuration: Mapping[str, Any], symbols: Sequence[str], actor: str
) -> Iterator[set[str]]:
    """Record a trial for each kind of a run that fails, is cancelled or interrupted.

    Yields a set; kinds added to it are recorded already.
    """
    counted: set[str] = set()
    try:
        yield counted
    except BaseException as stopped:
        failure = "interrupted" if isinstance(stopped, KeyboardInterrupt) else f"{type(stopped).__name__}: {stopped}"
        for kind in kinds:
            if kind not in counted:
                record_trial(
                    kind=kind, source=source, configuration=configuration, symbols=symbols, actor=actor, failure=failure
                )
        raise


def record_run(version: ModelVersion, actor: str) -> TrainingTrial:
    """Record the training run of `version`, with the scores of its folds and days."""
    report = version.report
    folds = report.get("folds") or []
    gains = (report.get("detail") or {}).get("daily_gain") or {}
    return record_trial(
        kind=version.kind,
        source=version.source,
        configuration={
            "hyperparameters": version.hyperparameters,
            "seed": version.seed,
            "horizons": version.horizons,
            "feature_hash": version.feature_hash,
            "trained_until": version.trained_until.isoformat(),
        },
        actor=actor,
        symbols=version.symbols,
        score=report.get("skill"),
        fold_scores=fold_scores(folds, gains),
        period_scores=gains,
        tested_from=clock.to_datetime(folds[0]["from_ms"]) if folds else None,
        tested_until=clock.to_datetime(folds[-1]["to_ms"]) if folds else None,
        version=version,
    )


def fold_scores(folds: Sequence[Mapping[str, Any]], gains: Mapping[str, float]) -> list[float]:
    """Mean daily gain of every fold that has days, oldest first.

    Examples
    --------
    >>> two = [{"from_ms": 0, "to_ms": 86_000_000}, {"from_ms": 86_400_000, "to_ms": 200_000_000}]
    >>> fold_scores(two, {"1970-01-01": 0.5, "1970-01-02": 0.25, "1970-01-03": 0.75})
    [0.5, 0.5]
    """
    result = []
    for fold in folds:
        first, last = (f"{clock.to_datetime(fold[name]):%Y-%m-%d}" for name in ("from_ms", "to_ms"))
        inside = [gain for day, gain in gains.items() if first <= day <= last]
        if inside:
            result.append(float(np.mean(inside)))
    return result


def digest_of(configuration: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration, whatever the order of its keys.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(configuration, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def ledger_report(kind: str, source: str, study: str | None = None) -> dict[str, Any]:
    """Number of configurations tried, and tests of the best one for selection bias.

    The tests need the daily gains of at least two configurations on the same days; without them `overfitting` and
    `deflated_sharpe` are None and `message` says why.
    """
    kept = TrainingTrial.objects.filter(kind=kind, source=source)
    if study is not None:
        kept = kept.filter(study=study)
    rows = list(kept.order_by("id"))
    distinct = {row.configuration_digest: row for row in rows}
    result: dict[str, Any] = {
        "kind": kind,
        "source": source,
        "trials": len(rows),
        "runs": sum(row.origin == TrainingTrial.Origin.RUN for row in rows),
        "searched": sum(row.origin == TrainingTrial.Origin.SEARCH for row in rows),
        "configurations": len(distinct),
        "failed": sum(row.score is None for row in rows),
        "overfitting": None,
        "deflated_sharpe": None,
        "message": "",
    }
    days, scores, digests = gain_matrix(list(distinct.values()))
    if scores.shape[1] < 2 or len(days) < MIN_PERIODS:
        result["message"] = (
            f"{scores.shape[1]} configurations share the gains of {len(days)} days; "
            f"2 and {MIN_PERIODS} are needed to test for selection bias"
        )
        return result
    # Trials without daily gains, or on other days, still count as trials: they raise the benchmark.
    share = independent_trials(scores) / scores.shape[1]
    deflated = deflated_sharpe(scores, trials=max(share * len(distinct), 1.0))
    result["compared"] = scores.shape[1]
    result["days"] = len(days)
    result["best"] = digests[int(np.argmax([sharpe(column) for column in scores.T]))]
    result["deflated_sharpe"] = {**asdict(deflated), "significant": deflated.significant}
    blocks = min(BLOCKS, len(days) // 2 // 2 * 2)
    result["overfitting"] = asdict(probability_of_overfitting(scores, blocks))
    return result


def gain_matrix(rows: Sequence[TrainingTrial]) -> tuple[list[str], np.ndarray, list[str]]:
    """Gains of the trials that share the most common set of days.

    Returns the days, gains of shape (n_days, n_trials), and the digests of the trials.
    """
    by_days: dict[frozenset[str], list[TrainingTrial]] = {}
    for row in rows:
        if row.period_scores and None not in row.period_scores.values():
            by_days.setdefault(frozenset(row.period_scores), []).append(row)
    if not by_days:
        return [], np.zeros((0, 0)), []
    chosen = max(by_days, key=lambda days: (len(by_days[days]), len(days), max(days)))
    days, alike = sorted(chosen), by_days[chosen]
    gains = np.array([[row.period_scores[day] for row in alike] for day in days], dtype=np.float64)
    return days, gains, [row.configuration_digest for row in alike]


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _plain(value: object) -> object:
    """Convert NumPy values to JSON values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be part of a configuration")
