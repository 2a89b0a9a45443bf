"""Build estimators from checked artifacts; heavy libraries are imported on first use."""

from collections.abc import Mapping
from typing import Any

from modelregistry.artifacts.reading import Artifact
from modelregistry.errors import ModelLoadError
from modelregistry.estimators import extra
from modelregistry.estimators.kinds import KINDS, Estimator, from_files, reading


def load_estimator(artifact: Artifact) -> Estimator:
    """Build the estimator an artifact holds, for rows of its own features.

    Raises
    ------
    ModelLoadError
        If it cannot be built, or its features are not those its manifest was written for.
    """
    label = f"{artifact.kind} {artifact.digest[:12]}"
    if artifact.kind not in KINDS:
        raise ModelLoadError(f"{label} is of a kind unknown to this engine")
    from indicators.features.feature_set import columns_digest

    if columns_digest(*_own_features(artifact.kind, artifact.digest, artifact.manifest)) != artifact.manifest.get(
        "feature_hash"
    ):
        raise ModelLoadError(f"{label} was trained on other features than this engine computes; train again")
    try:
        return from_files(artifact.kind, dict(artifact.files))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelLoadError(f"{label} cannot be built: {error}") from error


def load_serving(artifact: Artifact) -> Estimator:
    """Build the estimator an artifact holds, for the rows that this installation computes.

    Raises
    ------
    ModelLoadError
        If it cannot be built, or reads a feature that is missing or defined otherwise here, by name.
    """
    columns = own_columns(artifact.kind, artifact.digest, artifact.manifest)
    estimator = load_estimator(artifact)
    from indicators.features import installed

    return reading(estimator, columns, len(installed().names))


def own_columns(kind: str, digest: str, manifest: Mapping[str, Any]) -> tuple[int, ...]:
    """Positions of a version's features among those that this installation computes.

    Raises
    ------
    ModelLoadError
        If one is missing or defined otherwise here, or the estimator is of a package that is not installed.
    """
    from indicators.errors import FeatureError
    from indicators.features import installed

    label = f"{kind} {digest[:12]}"
    name = (manifest.get("hyperparameters") or {}).get("estimator")
    if name is not None and name not in extra.installed():
        raise ModelLoadError(f"{label} cannot be used: its estimator {name!r} is not among EXTRA_ESTIMATORS")
    try:
        return installed().positions(*_own_features(kind, digest, manifest))
    except FeatureError as error:
        raise ModelLoadError(f"{label} cannot be used: {error}") from error


def _own_features(kind: str, digest: str, manifest: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Names of a version's features, and the definitions of those of other packages."""
    names, definitions = manifest.get("features", []), manifest.get("feature_definitions", {})
    strings = isinstance(names, list) and isinstance(definitions, dict) and [*names, *definitions.values()]
    if not strings or not all(isinstance(one, str) for one in strings):
        raise ModelLoadError(f"{kind} {digest[:12]} does not list its features")
    return names, definitions
