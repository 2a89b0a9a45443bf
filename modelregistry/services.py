"""Training and evaluation, from stored candles to registered versions and reports."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.conf import settings
from django.db import transaction

from indicators.candles import INTERVAL_MS, CandleGrid
from indicators.features import WARMUP
from marketdata import clock
from marketdata.models import Candle, Market
from marketdata.storage import candles as store
from modelregistry import artifacts, registry
from modelregistry.errors import ComparisonRefused, ModelLoadError, ModelNotFoundError, TrainingError
from modelregistry.estimators import boosting, extra
from modelregistry.estimators.kinds import KINDS, RANGE
from modelregistry.evaluation.reports.as_json import json_ready
from modelregistry.evaluation.reports.champion_comparison import ComparedChampion
from modelregistry.models import ModelVersion
from modelregistry.registry import comparisons
from modelregistry.registry.status import default_source
from modelregistry.search import trial_ledger
from modelregistry.search.trial_settings import settings_of
from modelregistry.training.fit.plan import ExcludedMarket, excluded_markets, least_candles, plan_for
from modelregistry.training.kinds import TRAINING_KINDS
from modelregistry.training.pipeline import Progress, TrainedEstimator, TrainingRequest, train_kinds
from modelregistry.training.refresh import Recipe
from modelregistry.training.stretch import compare_on, evaluate_on
from modelregistry.training.workers import Workers

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
    estimator: str = "",
    settings_from: int | None = None,
) -> list[ModelVersion]:
    """Train, write and register versions; bootstrap a champion for kinds without one.

    So many processes as `workers` build the rows of the markets and fit the parts of the run, or the Dask cluster at
    DASK_SCHEDULER; the bytes stay the same. Ranges that are `corrected` follow their own misses of the last three
    weeks, where their window reaches that far. With `estimator`, the name of one of another package (EXTRA_ESTIMATORS),
    its kind alone is trained, and by it. With `settings_from`, the id of a trial, the range predictor is trained with
    the settings of that trial, and on request the TP/SL classifier, which has the same scale model.

    Raises
    ------
    TrainingError
        If a symbol, kind or trial is unknown, or there are too few candles; nothing is written.
    """
    started = clock.monotonic()
    source = source or default_source()
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise TrainingError(f"no kind of estimator is called {', '.join(unknown)}; there are {', '.join(KINDS)}")
    chosen = _extra_estimator(estimator, kinds)
    searched = None
    if settings_from is not None:
        searched = settings_of(settings_from, source)
        kinds = _searched_kinds(kinds, chosen)
    kinds = [kind for kind in KINDS if kind in (chosen or kinds or KINDS)]
    markets = _markets(symbols, source)
    horizons = tuple(sorted(settings.DEFAULT_HORIZONS))
    markets, grid, absent = _trainable(markets, from_ms, until_ms, horizons, small=small)
    for market in absent:
        logger.warning("training: %s", market.as_sentence())
    candles = grid.present.sum(axis=1)
    plan = plan_for(int(candles.min()), horizons, seed=seed, small=small, all_candles=int(candles.sum()))
    champions = registry.champions(source)
    request = TrainingRequest(
        grid=grid,
        symbols=tuple(market.symbol for market in markets),
        source=source,
        kinds=tuple(kinds),
        horizons=horizons,
        plan=replace(plan, corrected=corrected).with_settings(searched),
        costs=2 * settings.FEE_RATE + settings.SLIPPAGE_BPS / 1e4,
        first=from_ms,
        champions=_compared_champions(kinds, champions, horizons),
        recipes={kind: _recipe(champions[kind]) for kind in kinds if kind in champions},
        refresh_margin=settings.REFRESH_MARGIN,
        extra=chosen,
    )
    with trial_ledger.record_unfinished(kinds, source, _tried(request), request.symbols, actor) as counted:
        trained = train_kinds(request, progress, cancelled, Workers(workers, settings.DASK_SCHEDULER))
        seconds = clock.monotonic() - started
        for one in trained.values():
            one.report["left_out"] = [asdict(market) for market in absent]
        kept = [_keep(one, source, seed, seconds, champions.get(one.kind)) for one in trained.values()]
        bootstrap_versions(kept, actor)
        for version in kept:
            trial_ledger.record_run(version, actor)
            counted.add(version.kind)
    return kept


def _extra_estimator(name: str, kinds: Sequence[str]) -> dict[str, extra.EstimatorClass]:
    """Estimator of another package by its kind; empty for no name."""
    if not name:
        return {}
    if name not in extra.installed():
        known = ", ".join(sorted(extra.installed())) or "none"
        raise TrainingError(f"no estimator is called {name!r}; EXTRA_ESTIMATORS holds {known}")
    chosen = extra.installed()[name]
    if kinds and list(kinds) != [chosen.kind]:
        raise TrainingError(f"estimator {name!r} is of kind {chosen.kind}, not {', '.join(kinds)}")
    return {chosen.kind: chosen}


def _searched_kinds(kinds: Sequence[str], chosen: Mapping[str, extra.EstimatorClass]) -> list[str]:
    """Kinds to train with the settings of a trial: those asked for, by default the range predictor."""
    if chosen:
        raise TrainingError("the settings of a trial are those of our scale model; an estimator has its own")
    sharing = [kind for kind, of in TRAINING_KINDS.items() if of.shares_scale]
    if other := sorted(set(kinds) - set(sharing)):
        raise TrainingError(f"the settings of a trial are those of {' and '.join(sharing)}, not of {', '.join(other)}")
    return list(kinds) or [RANGE]


def _tried(request: TrainingRequest) -> dict[str, Any]:
    """Configuration of a run, for the ledger if it ends without a version."""
    chosen = {"estimator": ", ".join(one.name for one in request.extra.values())} if request.extra else {}
    return {
        "hyperparameters": request.plan.as_hyperparameters() | chosen,
        "horizons": list(request.horizons),
        "feature_hash": request.features.digest,
        "trained_until_ms": int(request.grid.open_time[-1]) + request.grid.interval_ms,
    }


def bootstrap_versions(versions: Sequence[ModelVersion], actor: str) -> None:
    """Promote each version whose kind has no champion, all in one transaction.

    A prediction belongs to one set of champions. Promoted one by one, the first champions would form three sets within
    a second, and one candle would be predicted by each of them.
    """
    with transaction.atomic():
        for version in versions:
            verdict = "the gate accepts it" if version.gate_accepted else "; ".join(version.gate_reasons)
            registry.bootstrap(version, actor, f"first version of its kind; {verdict}"[:2000])
    for version in versions:
        version.refresh_from_db()


def _keep(
    trained: TrainedEstimator, source: str, seed: int, seconds: float, champion: ModelVersion | None
) -> ModelVersion:
    fields = trained.manifest_fields
    digest = artifacts.write_artifact(trained.kind, trained.estimator.to_files(), fields, trained.golden_rows)
    return registry.register(
        kind=trained.kind,
        source=source,
        digest=digest,
        symbols=fields["symbols"],
        horizons=fields["horizons"],
        feature_hash=fields["feature_hash"],
        trained_from=clock.to_datetime(fields["trained_from_ms"]),
        trained_until=clock.to_datetime(fields["trained_until_ms"]),
        row_count=fields["rows"],
        seed=seed,
        hyperparameters=fields["hyperparameters"],
        libraries=boosting.library_versions(),
        report=json_ready(trained.report),
        gate_accepted=trained.verdict.accepted,
        gate_reasons=trained.verdict.reasons,
        refresh_of=champion if trained.is_refresh else None,
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
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Score versions on candles from `from_ms` up to `until_ms`, beside the baselines.

    By default the champions are scored.

    Raises
    ------
    ModelNotFoundError
        If there is no version to score.
    TrainingError
        If the period has no candle with features and a known outcome.
    """
    source = source or (versions[0].source if versions else default_source())
    chosen = list(versions) or list(registry.champions(source).values())
    if not chosen:
        raise ModelNotFoundError(f"no champion of {source} candles to evaluate; run `manage.py train_models`")
    markets, grid = _period(chosen, symbols, source, until_ms)
    fitted_until = min(from_ms, *(clock.to_ms(version.trained_until) for version in chosen))
    report: dict[str, Any] = {
        **_described(markets, source, from_ms, until_ms, stride),
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


def compare(
    first: ModelVersion,
    second: ModelVersion,
    from_ms: int,
    until_ms: int,
    symbols: Sequence[str] = (),
    *,
    stride: int = 1,
    actor: str = "compare_models",
) -> dict[str, Any]:
    """Compare two versions of a kind on the same candles, from `from_ms` up to `until_ms`; keep the result.

    Raises
    ------
    ComparisonRefused
        If the versions have too little in common, or the period overlaps the training of one of them.
    """
    pair = (first, second)
    _refuse_unfair(first, second, from_ms, until_ms)
    markets, grid = _period(pair, symbols, first.source, until_ms)
    compared = compare_on(
        grid,
        tuple(market.symbol for market in markets),
        first.kind,
        (registry.load_version(first), registry.load_version(second)),
        from_ms=from_ms,
        costs=2 * settings.FEE_RATE + settings.SLIPPAGE_BPS / 1e4,
        stride=stride,
    )
    found: dict[str, Any] = {
        **_described(markets, first.source, from_ms, until_ms, stride),
        "kind": first.kind,
        "versions": [str(version.pk) for version in pair],
        "first": str(first),
        "second": str(second),
        **json_ready(compared),
    }
    return {"id": comparisons.keep(first, second, from_ms, until_ms, found, actor).pk, **found}


def _refuse_unfair(first: ModelVersion, second: ModelVersion, from_ms: int, until_ms: int) -> None:
    """Refuse two versions with too little in common, or a period that one was trained on."""
    if first.pk == second.pk:
        raise ComparisonRefused(f"{first} is named twice; name two versions")
    for name in ("kind", "source"):
        if getattr(first, name) != getattr(second, name):
            raise ComparisonRefused(f"{first} and {second} are not of one {name}")
    for name, word in (("symbols", "market"), ("horizons", "horizon")):
        if not set(getattr(first, name)) & set(getattr(second, name)):
            raise ComparisonRefused(f"{first} and {second} have no {word} in common")
    for version in (first, second):
        if from_ms < clock.to_ms(version.trained_until) and until_ms > clock.to_ms(version.trained_from):
            raise ComparisonRefused(
                f"the period overlaps the training of {version}, from {version.trained_from:%Y-%m-%d %H:%M} up to "
                f"{version.trained_until:%Y-%m-%d %H:%M} UTC; choose one outside the training of both versions"
            )


def _period(
    versions: Sequence[ModelVersion], symbols: Sequence[str], source: str, until_ms: int
) -> tuple[list[Market], CandleGrid]:
    """Markets on which all versions are scored, by default those they share, with candles before `until_ms`."""
    for version in versions:
        registry.require_files(version)
    shared = set.intersection(*(set(version.symbols) for version in versions))
    markets = _markets(symbols or sorted(shared), source)
    if untrained := sorted({market.symbol for market in markets} - shared):
        raise TrainingError(f"not in the training set of every version: {', '.join(untrained)}")
    earliest, _ = _span(markets, None, until_ms)
    return markets, store.load_span(markets, earliest, until_ms)


def _described(markets: Sequence[Market], source: str, from_ms: int, until_ms: int, stride: int) -> dict[str, Any]:
    """What a report was made on."""
    return {
        "source": source,
        "symbols": [market.symbol for market in markets],
        "from": clock.to_datetime(from_ms).isoformat(),
        "until": clock.to_datetime(until_ms).isoformat(),
        "stride": stride,
    }


def _markets(symbols: Sequence[str], source: str) -> list[Market]:
    known = Market.objects.filter(source=source)
    names = sorted(set(symbols) or known.filter(enabled=True).values_list("symbol", flat=True))
    markets = {market.symbol: market for market in known.filter(symbol__in=names)}
    if missing := [name for name in names if name not in markets]:
        raise TrainingError(f"no market of {source} candles is called {', '.join(missing)}")
    if not names:
        raise TrainingError(f"no market with {source} candles is enabled")
    return [markets[name] for name in names]


def _trainable(
    markets: Sequence[Market], from_ms: int | None, until_ms: int | None, horizons: tuple[int, ...], *, small: bool
) -> tuple[list[Market], CandleGrid, list[ExcludedMarket]]:
    """Markets to train on with their candles, and markets excluded for lack of history."""
    newest = store.newest_open(markets)
    stored = [market for market in markets if newest[market.pk] is not None]
    needed = least_candles(horizons)
    empty = [
        ExcludedMarket(market.symbol, 0, needed, None, stored=0) for market in markets if newest[market.pk] is None
    ]
    if not stored:
        raise TrainingError("no market has candles; run `manage.py import_candles` or `backfill_candles` first")
    if from_ms is not None and until_ms is not None and from_ms >= until_ms:
        raise TrainingError("--from must be before --until")
    first_ms, end_ms = _span(stored, from_ms, until_ms)
    if first_ms >= end_ms:
        raise TrainingError(
            f"the period holds no stored candle: it would begin at {clock.to_datetime(first_ms):%Y-%m-%d %H:%M} "
            f"and end at {clock.to_datetime(end_ms):%Y-%m-%d %H:%M}"
        )
    grid = store.load_span(stored, first_ms, end_ms)
    short = excluded_markets(grid, [market.symbol for market in stored], horizons, small=small)
    names = {market.symbol for market in short}
    kept = [market for market in stored if market.symbol not in names]
    if not kept:
        raise TrainingError("; ".join(market.as_sentence() for market in [*short, *empty]))
    if short:
        grid = store.load_span(kept, *_span(kept, from_ms, until_ms))
    return kept, grid, [*short, *empty]


def _span(markets: Sequence[Market], from_ms: int | None, until_ms: int | None) -> tuple[int, int]:
    """Open of the first candle to read (with warm-up), and end of the last."""
    stored = Candle.objects.filter(market__in=markets)
    first = stored.order_by("open_time").values_list("open_time", flat=True).first()
    newest = [at for at in store.newest_open(markets).values() if at is not None]
    if first is None or len(newest) < len(markets):
        raise TrainingError("a market has no candles; run `manage.py import_candles` or `backfill_candles` first")
    if from_ms is not None:
        first = max(first, from_ms - WARMUP * INTERVAL_MS)
    end = max(newest) + INTERVAL_MS
    return int(first), int(end if until_ms is None else min(end, until_ms))


def _recipe(version: ModelVersion) -> Recipe:
    """What a version was trained with and on."""
    return Recipe(
        version.feature_hash,
        tuple(version.horizons),
        tuple(version.symbols),
        version.hyperparameters,
        clock.to_ms(version.trained_until),
    )


def _compared_champions(
    kinds: Sequence[str], champions: Mapping[str, ModelVersion], horizons: tuple[int, ...]
) -> dict[str, ComparedChampion]:
    """Champions that candidates are compared with; those that cannot be loaded are skipped."""
    found = {}
    for kind, version in champions.items():
        if kind not in kinds or not set(version.horizons) <= set(horizons):
            continue
        try:
            estimator = registry.load_version(version)
        except ModelLoadError as damaged:
            logger.warning("no comparison with champion %s: %s", version, damaged)
            continue
        found[str(kind)] = ComparedChampion(
            estimator,
            clock.to_ms(version.trained_until),
            tuple(version.symbols),
            tuple(version.horizons),
            (version.report.get("detail") or {}).get("daily_gain") or {},
        )
    return found
