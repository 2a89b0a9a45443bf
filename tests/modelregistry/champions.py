"""Small estimators with artifacts and registered versions, made in milliseconds."""

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import xgboost as xgb

from indicators.features import FEATURE_HASH, FEATURE_NAMES
from marketdata.process_state import process_state
from modelregistry import artifacts, registry
from modelregistry.artifacts import reading, verification
from modelregistry.estimators import boosting
from modelregistry.estimators.bracket_calibration import Calibration
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.golden import golden_rows
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.novelty import Novelty
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.residuals import ResidualQuantiles
from modelregistry.estimators.scale import LinearScale, ScaleModel
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from modelregistry.registry.serving import LoadedVersions

HORIZONS = (6, 18, 36, 72)
KINDS = ("range_predictor", "tpsl_classifier", "signal_classifier")
WIDTH = len(FEATURE_NAMES)
WALK = np.log(np.sqrt(8 / np.pi))
"""Log of a random walk's range over its deviation."""


@lru_cache
def booster(seed=0, classes=0, rounds=3, width=WIDTH):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, width)).astype(np.float32)
    target = rng.integers(0, classes, 400) if classes else 0.01 * rows[:, 0] + 0.01 * rng.normal(size=400)
    objective = {"objective": "multi:softprob", "num_class": classes} if classes else {"objective": "reg:squarederror"}
    matrix = boosting.binned(rows, target, threads=1)
    return boosting.fit(matrix, {**objective, "max_depth": 3}, rounds, seed=seed, threads=1)


def novelty():
    return Novelty((0, 1), np.zeros(2), np.ones(2), np.eye(2), 1e9)


def often_flagging_novelty(guard):
    """A novelty measure that flags about half of all candles."""
    return Novelty((FEATURE_NAMES.index("momentum_12"),), np.zeros(1), np.ones(1), np.eye(1), 0.6, guard)


def scale(seed=0):
    n = len(HORIZONS)
    level = np.log(0.002 * np.sqrt(np.array(HORIZONS)))
    linear = LinearScale(np.zeros(WIDTH), np.ones(WIDTH), np.zeros((n, WIDTH)), level)
    return ScaleModel(HORIZONS, linear, np.full(n, WALK), [booster(seed)] * n)


def estimator(kind, seed=0):
    if kind == "signal_classifier":
        base = np.array([0.2, 0.2, 0.6])
        trees = (booster(seed), booster(seed), booster(seed, width=WIDTH + 1))
        return SignalClassifier(18, *trees, base, 0.1, 0.1, novelty(), WIDTH)
    if kind == "tpsl_classifier":
        plain = Calibration(-WALK, 0.2, np.array([0.0, 1, 0, 0]), np.array([0.0, 1, 0]), np.array([0.0, 1, 0, 0]))
        return TpslClassifier(scale(seed), (plain,) * len(HORIZONS), novelty())
    n = len(HORIZONS)
    base = np.broadcast_to(np.linspace(0.1, 0.9, len(LEVELS)), (n, 2, len(LEVELS))).copy()
    residuals = ResidualQuantiles((), np.zeros(0), np.ones(0), base, np.zeros((*base.shape, 0)), np.ones(base.shape))
    return RangePredictor(scale(seed), residuals, novelty(), np.full(n, 10.0))


def golden(fitted):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(8, WIDTH)).astype(np.float32)
    features[0, 3] = np.nan
    return golden_rows(fitted, ModelInputs(features, np.linspace(100, 101, 8), np.full(8, 0.001)))


def fields(seed=0):
    return {"seed": seed, "features": list(FEATURE_NAMES), "feature_hash": FEATURE_HASH, "xgboost": xgb.__version__}


def write(kind, seed=0):
    fitted = estimator(kind, seed)
    return artifacts.write_artifact(kind, fitted.to_files(), fields(seed), golden(fitted))


_verdicts = {}
"""Verdicts of the verification process by kind and digest, for all folders of this session."""


def verify_once(kind, digest):
    """Verify a new artifact in a child process, unless one with the same content has been verified.

    Each such process takes half a second, and most tests have a model folder of their own.
    """
    root = artifacts.model_root()
    if (kind, digest) not in _verdicts:
        _verdicts[kind, digest] = verification.verify_in_child(root, [(kind, digest)])[kind, digest]
    process_state.of(verification.Verdicts)[str(root), kind, digest] = (
        reading.signature(root, kind, digest),
        _verdicts[kind, digest],
    )


def candidate(kind="range_predictor", seed=0, source="exchange", symbols=("BTCUSDT", "ETHUSDT"), accepted=True):
    """A registered candidate with a real artifact."""
    digest = write(kind, seed)
    verify_once(kind, digest)
    return registry.register(
        kind=kind,
        source=source,
        digest=digest,
        symbols=list(symbols),
        horizons=[18] if kind == "signal_classifier" else list(HORIZONS),
        feature_hash=FEATURE_HASH,
        trained_from=datetime(2024, 1, 1, tzinfo=UTC),
        trained_until=datetime(2025, 1, 1, tzinfo=UTC),
        row_count=400,
        seed=seed,
        gate_accepted=accepted,
        gate_reasons=[] if accepted else ["it does not beat EWM"],
    )


def bootstrap_all(source="exchange", seed=0, symbols=("BTCUSDT", "ETHUSDT")):
    """Bootstrap a champion of every kind."""
    found = {kind: candidate(kind, seed, source, symbols) for kind in KINDS}
    for version in found.values():
        registry.bootstrap(version, "tests", "a first champion")
    return found


def unload_estimators():
    """Unload all estimators; cached verification verdicts stay."""
    process_state.of(LoadedVersions).serving.clear()
    process_state.of(LoadedVersions).estimators.clear()


def damage(model_folder, version):
    """Flip a bit in the middle of a version's file; returns the file."""
    path = model_folder / version.kind / version.digest / "scale_6.ubj"
    torn = bytearray(path.read_bytes())
    torn[len(torn) // 2] ^= 1
    path.write_bytes(torn)
    return path
