"""What the processes that fit a run together exchange: plain arrays and estimators in files named by their SHA-256.

Nothing is pickled, and no file is believed whose bytes do not have the digest it is asked for by.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from modelregistry.artifacts.loading import CLASSES
from modelregistry.errors import TrainingError
from modelregistry.training.dataset import COLUMNS, Dataset, MarketCandles
from modelregistry.training.parts import Workload
from modelregistry.training.plan import TrainingPlan

_GRID = ("open_time", *CANDLE_COLUMNS)


def write_market(folder: Path, market: MarketCandles) -> str:
    """Write the candles of a market and what becomes of them; return the digest they are read by."""
    plain = {
        "symbol": market.symbol,
        "horizons": market.horizons,
        "stride": market.stride,
        "first": market.first,
        "interval_ms": market.grid.interval_ms,
    }
    return _write_arrays(folder, plain, _columns_of(market.grid))


def read_market(folder: Path, digest: str) -> MarketCandles:
    """Read what :func:`write_market` wrote.

    Raises
    ------
    TrainingError
        If the file is missing or holds other bytes.
    """
    plain, arrays = _read_arrays(folder, digest)
    horizons = tuple(plain["horizons"])
    return MarketCandles(plain["symbol"], _grid_of(plain, arrays), horizons, plain["stride"], plain["first"])


def write_rows(folder: Path, rows: Dataset) -> str:
    """Write the rows of one market, without its candles; return the digest they are read by."""
    return _write_arrays(folder, {}, {name: getattr(rows, name) for name in COLUMNS})


def read_rows(folder: Path, digest: str, market: MarketCandles) -> Dataset:
    """Read the rows of a market that :func:`write_rows` wrote.

    Raises
    ------
    TrainingError
        If the file is missing or holds other bytes.
    """
    _, arrays = _read_arrays(folder, digest)
    return Dataset((market.symbol,), market.horizons, market.stride, market.grid, **arrays)


def write_workload(folder: Path, workload: Workload) -> str:
    """Write all that fitting needs and return the digest it is read by."""
    rows, grid = workload.rows, workload.rows.grid
    plain = {
        "symbols": rows.symbols,
        "horizons": rows.horizons,
        "stride": rows.stride,
        "costs": workload.costs,
        "plan": workload.plan.as_hyperparameters(),
        "interval_ms": grid.interval_ms,
    }
    return _write_arrays(folder, plain, {name: getattr(rows, name) for name in COLUMNS} | _columns_of(grid))


def read_workload(folder: Path, digest: str) -> Workload:
    """Read what :func:`write_workload` wrote.

    Raises
    ------
    TrainingError
        If the file is missing or holds other bytes.
    """
    plain, arrays = _read_arrays(folder, digest)
    rows = Dataset(
        symbols=tuple(plain["symbols"]),
        horizons=tuple(plain["horizons"]),
        stride=plain["stride"],
        grid=_grid_of(plain, arrays),
        **{name: arrays[name] for name in COLUMNS},
    )
    known = {one.name for one in fields(TrainingPlan)}
    plan = {name: value for name, value in plain["plan"].items() if name in known}
    return Workload(rows, TrainingPlan(**{**plan, "marks": tuple(plan["marks"])}), plain["costs"])


def _columns_of(grid: CandleGrid) -> dict[str, np.ndarray]:
    return {f"grid_{name}": getattr(grid, name) for name in _GRID}


def _grid_of(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> CandleGrid:
    return CandleGrid(**{name: arrays[f"grid_{name}"] for name in _GRID}, interval_ms=plain["interval_ms"])


def write_estimators(folder: Path, fitted: Mapping[str, Any]) -> str:
    """Write the estimators of a part and return the digest they are read by; equal estimators have equal digests."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for kind, estimator in sorted(fitted.items()):
            for name, raw in sorted(estimator.to_files().items()):
                archive.writestr(zipfile.ZipInfo(f"{kind}/{name}"), raw)
    return _write(folder, content.getvalue())


def read_estimators(folder: Path, digest: str) -> dict[str, Any]:
    """Read what :func:`write_estimators` wrote, by kind.

    Raises
    ------
    TrainingError
        If the file is missing or holds other bytes.
    """
    files: dict[str, dict[str, bytes]] = {}
    with zipfile.ZipFile(io.BytesIO(_read(folder, digest))) as archive:
        for entry in archive.namelist():
            kind, name = entry.split("/", 1)
            files.setdefault(kind, {})[name] = archive.read(entry)
    return {kind: _class_of(kind).from_files(kept) for kind, kept in files.items()}


def _class_of(kind: str) -> Any:
    module, name = CLASSES[kind]
    return getattr(import_module(module), name)


def _write_arrays(folder: Path, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, plain=np.array(json.dumps(plain)), **arrays)
    return _write(folder, content.getvalue())


def _read_arrays(folder: Path, digest: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Plain values, and arrays by name."""
    with np.load(io.BytesIO(_read(folder, digest)), allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    return json.loads(str(arrays.pop("plain"))), arrays


def _write(folder: Path, content: bytes) -> str:
    digest = sha256(content).hexdigest()
    handle, unfinished = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(unfinished).rename(folder / digest)
    return digest


def _read(folder: Path, digest: str) -> bytes:
    try:
        content = (folder / digest).read_bytes()
    except OSError as error:
        raise TrainingError(f"{digest[:12]} cannot be read: {error}") from error
    if sha256(content).hexdigest() != digest:
        raise TrainingError(f"{digest[:12]} holds other bytes than were written")
    return content
