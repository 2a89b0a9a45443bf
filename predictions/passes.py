"""One pass: the window of some markets read once, and answered once, for all that follows."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db.models import OuterRef, Subquery

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from marketdata import store
from marketdata.intervals import INTERVAL_MS
from marketdata.models import AbsentStretch, Candle, Market
from modelregistry import registry
from modelregistry.estimators.ensemble import Ensemble
from predictions import live_windows
from predictions.answering import Answers, Stretch, answer
from predictions.correcting import corrector_of, reach_of
from predictions.live_windows import HeldRows

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 4.0
"""A candle waits this long at most for a champion another thread is loading: a promotion acts on the next one."""
LONGEST_SPAN = 288
"""Candles answered in one pass at most: a backlog goes day by day, each day committed."""

_uncorrected: dict[str, frozenset[str]] = {}
"""Symbols by source whose newest ranges were said uncorrected: what was logged of them last."""


@dataclass(frozen=True, eq=False)
class Pass:
    """Answers for the candles of some markets of one source."""

    markets: list[Market]
    ensemble: Ensemble | None
    wanted: npt.NDArray[np.bool_]
    answers: Answers
    held: bool = False
    """Whether the window was held in memory rather than read."""

    def candles(self) -> Iterator[tuple[int, int, Market, int]]:
        """Every wanted candle as (market index, row, market, open time in ms), oldest first."""
        for row, market in np.argwhere(self.wanted.T):
            yield int(market), int(row), self.markets[market], int(self.answers.open_time[row])


def read_passes(work: Mapping[Market, Sequence[int]], *, live: bool = False) -> Iterator[Pass]:
    """Answer for the given open times of the given markets, in as few passes as memory allows."""
    by_source: dict[str, dict[Market, Sequence[int]]] = {}
    for market, opens in work.items():
        if opens:
            by_source.setdefault(market.source, {})[market] = opens
    for source, part in by_source.items():
        for first, last in spans(sorted({open_ms for opens in part.values() for open_ms in opens})):
            markets = [market for market, opens in part.items() if any(first <= at <= last for at in opens)]
            rows = (last - first) // INTERVAL_MS + 1
            wanted = np.zeros((len(markets), rows), dtype=bool)
            for index, market in enumerate(markets):
                inside = [(at - first) // INTERVAL_MS for at in part[market] if first <= at <= last]
                wanted[index, inside] = True
            ensemble = registry.load_ensemble(source, PATIENCE_SECONDS if live else 0.0)
            done = read_held(markets, last, ensemble, wanted) if live and rows == 1 else None
            done = done or read_pass(markets, last, rows, ensemble, wanted)
            if live:
                _tell_uncorrected(source, done)
            yield done


def read_pass(
    markets: list[Market],
    end_open_ms: int,
    rows: int,
    ensemble: Ensemble | None,
    wanted: npt.NDArray[np.bool_] | None = None,
) -> Pass:
    """Read one window ending at `end_open_ms` and answer for its last `rows` candles."""
    grid = store.load_grid(markets, end_open_ms, WARMUP + rows - 1 + reach_of(ensemble))
    return _pass(markets, grid, rows, ensemble, wanted)


def read_held(
    markets: list[Market], open_ms: int, ensemble: Ensemble | None, wanted: npt.NDArray[np.bool_] | None
) -> Pass | None:
    """Answer for one candle from the windows this process holds; None where they must be read."""
    with live_windows.of_source(markets[0].source).rows(markets, open_ms, corrector_of(ensemble)) as held:
        return None if held is None else _pass(markets, held.grid, 1, ensemble, wanted, held)


def _pass(
    markets: list[Market],
    grid: CandleGrid,
    rows: int,
    ensemble: Ensemble | None,
    wanted: npt.NDArray[np.bool_] | None,
    held: HeldRows | None = None,
) -> Pass:
    whole = bool(grid.present.all())
    start, end_open_ms = int(grid.open_time[0]), int(grid.open_time[-1])
    answers = answer(
        grid,
        rows,
        ensemble,
        symbols=[market.symbol for market in markets],
        history=[start] * len(markets) if whole else _history(markets),
        absences=[[]] * len(markets) if whole else _absences(markets, start, end_open_ms),
        max_age_days=settings.MODEL_MAX_AGE_DAYS,
        wanted=wanted,
        newest=None if held is None else (held.features, held.sigma, held.corrections, held.distrusted),
    )
    asked = answers.present if wanted is None else wanted & answers.present
    return Pass(markets, ensemble, asked, answers, held=held is not None)


def spans(opens: Sequence[int]) -> list[tuple[int, int]]:
    """Group ascending open times into stretches that fit one pass.

    >>> spans([0, 300_000, 90_000_000])
    [(0, 300000), (90000000, 90000000)]
    """
    found: list[tuple[int, int]] = []
    for at in opens:
        if found and at - found[-1][0] < LONGEST_SPAN * INTERVAL_MS:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _tell_uncorrected(source: str, done: Pass) -> None:
    """Log which markets have too little history for the correction of their ranges, whenever that changes."""
    bare = frozenset(market.symbol for index, market in enumerate(done.markets) if done.answers.uncorrected(index, -1))
    if bare != _uncorrected.get(source, frozenset()):
        logger.info("ranges answered uncorrected, for want of history: %s", ", ".join(sorted(bare)) or "none any more")
    _uncorrected[source] = bare


def _history(markets: Sequence[Market]) -> list[int | None]:
    """Open of the oldest stored candle of each market."""
    oldest = Candle.objects.filter(market=OuterRef("pk")).order_by("open_time").values("open_time")[:1]
    chosen = Market.objects.filter(pk__in=[market.pk for market in markets]).annotate(oldest=Subquery(oldest))
    found = dict(chosen.values_list("pk", "oldest"))
    return [found.get(market.pk) for market in markets]


def _absences(markets: Sequence[Market], from_ms: int, until_ms: int) -> list[list[Stretch]]:
    """What the exchange is known not to have, per market."""
    found: dict[int, list[Stretch]] = {market.pk: [] for market in markets}
    stretches = AbsentStretch.objects.filter(market__in=markets, end__gt=from_ms, start__lte=until_ms)
    for market_id, start, end in stretches.values_list("market_id", "start", "end"):
        found[market_id].append((start, end))
    return [found[market.pk] for market in markets]
