"""Build estimators from checked artifacts; heavy libraries are imported on first use."""

from modelregistry.artifacts.reading import Artifact
from modelregistry.errors import ModelLoadError
from modelregistry.estimators.kinds import KINDS, Estimator, from_files


def load_estimator(artifact: Artifact) -> Estimator:
    """Build the estimator an artifact holds.

    Raises
    ------
    ModelLoadError
        If it was trained on other features than this engine computes, or cannot be built.
    """
    label = f"{artifact.kind} {artifact.digest[:12]}"
    if artifact.kind not in KINDS:
        raise ModelLoadError(f"{label} is of a kind unknown to this engine")
    from indicators.features import FEATURE_HASH

    if artifact.manifest.get("feature_hash") != FEATURE_HASH:
        raise ModelLoadError(f"{label} was trained on other features than this engine computes; train again")
    try:
        return from_files(artifact.kind, dict(artifact.files))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelLoadError(f"{label} cannot be built: {error}") from error
