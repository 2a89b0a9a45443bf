"""Training rows: features, outcomes and baseline inputs, aligned in time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from indicators.candles import CandleGrid
from indicators.catalog.volatility import ewm_sigma
from indicators.features import FeatureSet, installed, iter_features
from indicators.labels import future_range, label_end
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.evaluation.baselines.regressions import har_inputs


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows with a known outcome, in time order, markets interleaved.

    Parameters
    ----------
    symbols : tuple of str
        Markets by code; row ``i`` belongs to ``symbols[market[i]]``.
    horizons : tuple of int
        Candles, ascending.
    stride : int
        Candles between neighbouring rows of one market.
    grid : CandleGrid
        Candles of the rows; `position` indexes it.
    features : ndarray of shape (n_rows, n_features), float32
        All NaN where the row would be refused.
    close, sigma : ndarray of shape (n_rows,)
    up, down : ndarray of shape (n_rows, n_horizons)
        ``log(H / C)`` and ``log(C / L)``.
    har : ndarray of shape (n_rows, 5 + n_horizons), float32
        Inputs of the reference baselines.
    feature_names : tuple of str
        One per column of the features.
    """

    symbols: tuple[str, ...]
    horizons: tuple[int, ...]
    stride: int
    grid: CandleGrid
    market: np.ndarray
    position: np.ndarray
    open_time: np.ndarray
    features: np.ndarray
    close: np.ndarray
    sigma: np.ndarray
    up: np.ndarray
    down: np.ndarray
    har: np.ndarray
    feature_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.open_time)

    @property
    def ends(self) -> np.ndarray:
        """Time at which the longest label of each row is known, ms."""
        return label_end(self.open_time, max(self.horizons), self.grid.interval_ms)

    @property
    def inputs(self) -> ModelInputs:
        """Inputs of the estimators, uncorrected."""
        return ModelInputs(self.features, self.close, self.sigma)

    @property
    def has_features(self) -> np.ndarray:
        """Mask of rows with complete features."""
        return np.isfinite(self.features[:, 0])

    @property
    def log_range(self) -> np.ndarray:
        """Log of the future range per horizon, floored at 1 % of ``sigma * sqrt(h)``."""
        floor = 0.01 * self.sigma[:, None] * np.sqrt(np.array(self.horizons))
        return np.log(np.maximum(self.up + self.down, floor))

    def take(self, rows: np.ndarray) -> "Dataset":
        """Select rows by position, in the given order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    def thinned_positions(self, step: int) -> np.ndarray:
        """Positions of every `step`-th row by time, the same share of each market."""
        return np.flatnonzero((self.open_time // (self.grid.interval_ms * self.stride)) % step == 0)

    def of(self, symbol: str) -> "Dataset":
        """Select the rows of one market."""
        return self.take(np.flatnonzero(self.market == self.symbols.index(symbol)))


COLUMNS = ("market", "position", "open_time", "features", "close", "sigma", "up", "down", "har")
"""Arrays whose first axis is the row."""


def build_dataset(
    grid: CandleGrid,
    symbols: Sequence[str],
    horizons: Sequence[int],
    stride: int = 1,
    *,
    first: int | None = None,
    features: FeatureSet | None = None,
) -> Dataset:
    """Build a row of every `stride`-th candle with complete warm-up and outcome.

    Parameters
    ----------
    grid : CandleGrid
        Candles of all markets; labels read up to its last candle.
    symbols : sequence of str
        One per market of the grid.
    horizons : sequence of int
        Candles.
    stride : int
        Candles between rows; neighbouring rows are nearly identical.
    first : int, optional
        Open time (ms) of the earliest row; older candles are warm-up only.
    features : FeatureSet, optional
        What to compute; by default what is installed.
    """
    feature_set = features or installed()
    horizons = tuple(sorted(horizons))
    ranges = [future_range(grid, horizon) for horizon in horizons]
    up = np.stack([pair[0] for pair in ranges], axis=-1)
    down = np.stack([pair[1] for pair in ranges], axis=-1)
    har = har_inputs(grid, horizons).astype(np.float32)
    sigma = ewm_sigma(grid, len(grid))
    known = np.isfinite(up).all(axis=-1) & np.isfinite(sigma) & np.isfinite(har).all(axis=-1)
    chosen = (grid.open_time // grid.interval_ms) % stride == 0
    if first is not None:
        chosen &= grid.open_time >= first
    parts, markets, positions = [], [], []
    for span, block in iter_features(grid, features=feature_set):
        where = np.arange(span.start, span.stop)
        market, offset = np.nonzero((known & chosen)[:, span])
        order = np.lexsort((market, offset))
        market, offset = market[order], offset[order]
        parts.append(block[market, offset])
        markets.append(market.astype(np.int16))
        positions.append(where[offset])
    n_features = parts[0].shape[1] if parts else 0
    market = np.concatenate(markets) if markets else np.zeros(0, dtype=np.int16)
    position = np.concatenate(positions) if positions else np.zeros(0, dtype=np.int64)
    return Dataset(
        symbols=tuple(symbols),
        horizons=horizons,
        stride=stride,
        grid=grid,
        market=market,
        position=position,
        open_time=grid.open_time[position],
        features=np.concatenate(parts) if parts else np.zeros((0, n_features), dtype=np.float32),
        close=grid.close[market, position],
        sigma=sigma[market, position],
        up=up[market, position],
        down=down[market, position],
        har=har[market, position],
        feature_names=feature_set.names,
    )


@dataclass(frozen=True, eq=False)
class MarketCandles:
    """Candles of one market with the settings of its rows.

    Parameters
    ----------
    symbol : str
    grid : CandleGrid
        Of this market only.
    horizons : tuple of int
        Candles, ascending.
    stride : int
        Candles between rows.
    first : int or None
        Open time (ms) of the earliest row.
    features : FeatureSet
        What to compute: another process may have installed nothing.
    """

    symbol: str
    grid: CandleGrid
    horizons: tuple[int, ...]
    stride: int
    first: int | None = None
    features: FeatureSet = field(default_factory=installed)

    def build(self) -> Dataset:
        """Build the rows of this market; they depend on it, and on the markets that features read."""
        return build_dataset(
            self.grid, (self.symbol,), self.horizons, self.stride, first=self.first, features=self.features
        )


def interleave(markets: Sequence[Dataset], grid: CandleGrid) -> Dataset:
    """Merge rows built market by market into the order of a joint build.

    Parameters
    ----------
    markets : sequence of Dataset
        One per market of the grid, in its order.
    grid : CandleGrid
        Candles of all markets.
    """
    codes = np.repeat(np.arange(len(markets), dtype=np.int16), [len(one) for one in markets])
    order = np.lexsort((codes, np.concatenate([one.position for one in markets])))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    places = np.split(place, np.cumsum([len(one) for one in markets])[:-1])
    own = [name for name in COLUMNS if name != "market"]
    columns = {name: _scattered([getattr(one, name) for one in markets], places) for name in own}
    symbols = tuple(symbol for one in markets for symbol in one.symbols)
    return Dataset(
        symbols,
        markets[0].horizons,
        markets[0].stride,
        grid,
        market=codes[order],
        feature_names=markets[0].feature_names,
        **columns,
    )


def _scattered(parts: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> np.ndarray:
    """Write the rows of every part to their places, without a concatenated copy."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype=parts[0].dtype)
    for part, place in zip(parts, places, strict=True):
        whole[place] = part
    return whole
