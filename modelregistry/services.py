"""Training and evaluation, from stored candles to registered versions and reports."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction

from indicators.candles import CandleGrid
from indicators.features import FEATURE_HASH, WARMUP
from marketdata import clock, store
from marketdata.models import Candle, Market
from modelregistry import artifacts, registry, trials
from modelregistry.errors import ModelLoadError, ModelNotFoundError, TrainingError
from modelregistry.estimators import boosting
from modelregistry.evaluation.stretch import evaluate_on
from modelregistry.evaluation.versus import Standing
from modelregistry.models import ModelVersion
from modelregistry.status import usual_source
from modelregistry.training.pipeline import KINDS, Request, Trained, symbols_in_order, train_kinds
from modelregistry.training.plan import LeftOut, least_candles, left_out, plan_for
from modelregistry.training.workers import Workers

Progress = Callable[[int, int, str], None]
logger = logging.getLogger(__name__)


def train(
    kinds: Sequence[str] = (),
    symbols: Sequence[str] = (),
    source: str | None = None,
    from_ms: int | None = None,
    until_ms: int | None = None,
    seed: int = 1,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    *,
    small: bool = False,
    corrected: bool = True,
    workers: int = 1,
    actor: str = "train_models",
) -> list[ModelVersion]:
    """Train, write, register; crown a first version where a kind has no champion.

    So many processes as `workers` build the rows of the markets and fit the parts of the run, or the Dask cluster at
    DASK_SCHEDULER; the bytes stay the same. Ranges that are `corrected` follow their own misses of the last three
    weeks, where their window reaches that far.

    Raises
    ------
    TrainingError
        If a symbol or kind is unknown, or there are too few candles; nothing is written.
    """
    started = clock.monotonic()
    source = source or usual_source()
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise TrainingError(f"no kind of estimator is called {', '.join(unknown)}; there are {', '.join(KINDS)}")
    kinds = [kind for kind in KINDS if not kinds or kind in kinds]
    markets = _markets(symbols, source)
    horizons = tuple(sorted(settings.DEFAULT_HORIZONS))
    markets, grid, absent = _trainable(markets, from_ms, until_ms, horizons, small=small)
    for market in absent:
        logger.warning("training: %s", market.as_sentence())
    candles = int(grid.present.sum(axis=1).min())
    request = Request(
        grid=grid,
        symbols=tuple(market.symbol for market in markets),
        source=source,
        kinds=tuple(kinds),
        horizons=horizons,
        plan=replace(plan_for(candles, horizons, seed=seed, small=small), corrected=corrected),
        costs=2 * settings.FEE_RATE + settings.SLIPPAGE_BPS / 1e4,
        first=from_ms,
        champions=_standing(kinds, source, horizons),
    )
    with trials.counting(kinds, source, _tried(request), request.symbols, actor) as counted:
        trained = train_kinds(request, progress, cancelled, Workers(workers, settings.DASK_SCHEDULER))
        seconds = clock.monotonic() - started
        for one in trained.values():
            one.report["left_out"] = [asdict(market) for market in absent]
        kept = [_keep(one, source, seed, seconds) for one in trained.values()]
        bootstrap_together(kept, actor)
        for version in kept:
            trials.record_run(version, actor)
            counted.add(version.kind)
    return kept


def _tried(request: Request) -> dict[str, Any]:
    """What a run that ends without a version had set out to try."""
    return {
        "hyperparameters": request.plan.as_hyperparameters(),
        "horizons": list(request.horizons),
        "feature_hash": FEATURE_HASH,
        "trained_until_ms": int(request.grid.open_time[-1]) + request.grid.interval_ms,
    }


def bootstrap_together(versions: Sequence[ModelVersion], actor: str) -> None:
    """Promote each version whose kind has no champion, all in one transaction.

    An answer belongs to the set of champions that gave it: one by one, the first champions would be three sets within
    a second, and a candle would be answered by each.
    """
    with transaction.atomic():
        for version in versions:
            verdict = "the gate accepts it" if version.gate_accepted else "; ".join(version.gate_reasons)
            registry.bootstrap(version, actor, f"first version of its kind; {verdict}"[:2000])
    for version in versions:
        version.refresh_from_db()


def _keep(trained: Trained, source: str, seed: int, seconds: float) -> ModelVersion:
    fields = trained.manifest_fields
    digest = artifacts.write_artifact(trained.kind, trained.estimator.to_files(), fields, trained.golden_rows)
    return registry.register(
        kind=trained.kind,
        source=source,
        digest=digest,
        symbols=fields["symbols"],
        horizons=fields["horizons"],
        feature_hash=FEATURE_HASH,
        trained_from=clock.to_datetime(fields["trained_from_ms"]),
        trained_until=clock.to_datetime(fields["trained_until_ms"]),
        row_count=fields["rows"],
        seed=seed,
        hyperparameters=fields["hyperparameters"],
        libraries=boosting.library_versions(),
        report=finite(trained.report),
        gate_accepted=trained.verdict.accepted,
        gate_reasons=trained.verdict.reasons,
        training_seconds=seconds,
    )


def evaluate(
    from_ms: int,
    until_ms: int,
    versions: Sequence[ModelVersion] = (),
    symbols: Sequence[str] = (),
    source: str | None = None,
    *,
    stride: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score versions, by default the champions, on candles from `from_ms` up to `until_ms` beside the baselines.

    Raises
    ------
    ModelNotFoundError
        If there is no version to score.
    TrainingError
        If the stretch holds no candle with features and a known future.
    """
    source = source or (versions[0].source if versions else usual_source())
    chosen = list(versions) or list(registry.champions(source).values())
    if not chosen:
        raise ModelNotFoundError(f"no champion of {source} candles to evaluate; run `manage.py train_models`")
    for version in chosen:
        registry.require_files(version)
    shared = set.intersection(*(set(version.symbols) for version in chosen))
    markets = _markets(symbols or sorted(shared), source)
    if strangers := sorted({market.symbol for market in markets} - shared):
        raise TrainingError(f"not in the training set of every version: {', '.join(strangers)}")
    fitted_until = min(from_ms, *(clock.to_ms(version.trained_until) for version in chosen))
    earliest, _ = _span(markets, None, until_ms)
    grid = store.load_span(markets, earliest, until_ms)
    report: dict[str, Any] = {
        "source": source,
        "symbols": [market.symbol for market in markets],
        "from": clock.to_datetime(from_ms).isoformat(),
        "until": clock.to_datetime(until_ms).isoformat(),
        "stride": stride,
        "versions": {version.kind: str(version.pk) for version in chosen},
        "in_sample": sorted(version.kind for version in chosen if clock.to_ms(version.trained_until) > from_ms),
    }
    estimators = {version.kind: registry.load_version(version) for version in chosen}
    return report | evaluate_on(
        grid,
        tuple(market.symbol for market in markets),
        estimators,
        from_ms=from_ms,
        fitted_until_ms=fitted_until,
        costs=2 * settings.FEE_RATE + settings.SLIPPAGE_BPS / 1e4,
        stride=stride,
        progress=progress,
    )


def _markets(symbols: Sequence[str], source: str) -> list[Market]:
    known = Market.objects.filter(source=source)
    names = symbols_in_order(symbols) or tuple(sorted(known.filter(enabled=True).values_list("symbol", flat=True)))
    markets = {market.symbol: market for market in known.filter(symbol__in=names)}
    if missing := [name for name in names if name not in markets]:
        raise TrainingError(f"no market of {source} candles is called {', '.join(missing)}")
    if not names:
        raise TrainingError(f"no market with {source} candles is enabled")
    return [markets[name] for name in names]


def _trainable(
    markets: Sequence[Market], from_ms: int | None, until_ms: int | None, horizons: tuple[int, ...], *, small: bool
) -> tuple[list[Market], CandleGrid, list[LeftOut]]:
    """Markets to train on with their candles, and those left out."""
    newest = store.newest_open(markets)
    stored = [market for market in markets if newest[market.pk] is not None]
    needed = least_candles(horizons)
    empty = [LeftOut(market.symbol, 0, needed, None) for market in markets if newest[market.pk] is None]
    if not stored:
        raise TrainingError("no market has candles; run `manage.py import_candles` or `backfill_candles` first")
    if from_ms is not None and until_ms is not None and from_ms >= until_ms:
        raise TrainingError("--from must be before --until")
    first_ms, end_ms = _span(stored, from_ms, until_ms)
    if first_ms >= end_ms:
        raise TrainingError(
            f"the stretch holds no stored candle: it would begin at {clock.to_datetime(first_ms):%Y-%m-%d %H:%M} "
            f"and end at {clock.to_datetime(end_ms):%Y-%m-%d %H:%M}"
        )
    grid = store.load_span(stored, first_ms, end_ms)
    short = left_out(grid, [market.symbol for market in stored], horizons, small=small)
    names = {market.symbol for market in short}
    kept = [market for market in stored if market.symbol not in names]
    if not kept:
        raise TrainingError("; ".join(market.as_sentence() for market in [*short, *empty]))
    if short:
        grid = store.load_span(kept, *_span(kept, from_ms, until_ms))
    return kept, grid, [*short, *empty]


def _span(markets: Sequence[Market], from_ms: int | None, until_ms: int | None) -> tuple[int, int]:
    """Open of the first candle to read, warm-up included, and the end of the last one."""
    stored = Candle.objects.filter(market__in=markets)
    first = stored.order_by("open_time").values_list("open_time", flat=True).first()
    newest = [at for at in store.newest_open(markets).values() if at is not None]
    if first is None or len(newest) < len(markets):
        raise TrainingError("a market has no candles; run `manage.py import_candles` or `backfill_candles` first")
    interval_ms = 300_000
    if from_ms is not None:
        first = max(first, from_ms - WARMUP * interval_ms)
    end = max(newest) + interval_ms
    return int(first), int(end if until_ms is None else min(end, until_ms))


def _standing(kinds: Sequence[str], source: str, horizons: tuple[int, ...]) -> dict[str, Standing]:
    """Champions a candidate is compared with; one that cannot be loaded is compared with nobody."""
    found = {}
    for kind, version in registry.champions(source).items():
        if kind not in kinds or version.feature_hash != FEATURE_HASH or not set(version.horizons) <= set(horizons):
            continue
        try:
            estimator = registry.load_version(version)
        except ModelLoadError as damaged:
            logger.warning("champion %s is compared with nobody: %s", version, damaged)
            continue
        found[str(kind)] = Standing(
            estimator,
            clock.to_ms(version.trained_until),
            tuple(version.symbols),
            tuple(version.horizons),
            (version.report.get("detail") or {}).get("daily_gain") or {},
        )
    return found


def finite(value: Any) -> Any:
    """Make a report fit for JSON: plain numbers, None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
