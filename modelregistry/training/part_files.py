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
from modelregistry.training.dataset import Dataset
from modelregistry.training.parts import Workload
from modelregistry.training.plan import TrainingPlan

COLUMNS = ("market", "position", "open_time", "features", "close", "sigma", "up", "down", "har")
"""Arrays of a dataset."""


def write_workload(folder: Path, workload: Workload) -> str:
    """Write all that fitting needs and return the digest it is read by."""
    rows, grid = workload.rows, workload.rows.grid
    arrays = {name: getattr(rows, name) for name in COLUMNS}
    arrays |= {f"grid_{name}": getattr(grid, name) for name in ("open_time", *CANDLE_COLUMNS)}
    plain = {
        "symbols": rows.symbols,
        "horizons": rows.horizons,
        "stride": rows.stride,
        "costs": workload.costs,
        "plan": workload.plan.as_hyperparameters(),
    }
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, plain=np.array(json.dumps(plain)), **arrays)
    return _write(folder, content.getvalue())


def read_workload(folder: Path, digest: str) -> Workload:
    """Read what :func:`write_workload` wrote.

    Raises
    ------
    TrainingError
        If the file is missing or holds other bytes.
    """
    with np.load(io.BytesIO(_read(folder, digest)), allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
    plain = json.loads(str(arrays["plain"]))
    grid = CandleGrid(*(arrays[f"grid_{name}"] for name in ("open_time", *CANDLE_COLUMNS)))
    rows = Dataset(
        symbols=tuple(plain["symbols"]),
        horizons=tuple(plain["horizons"]),
        stride=plain["stride"],
        grid=grid,
        **{name: arrays[name] for name in COLUMNS},
    )
    known = {one.name for one in fields(TrainingPlan)}
    plan = {name: value for name, value in plain["plan"].items() if name in known}
    return Workload(rows, TrainingPlan(**{**plan, "marks": tuple(plan["marks"])}), plain["costs"])


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
