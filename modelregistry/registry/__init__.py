"""Registry of model versions: registration, promotion, and the loaded ensemble of champions."""

from modelregistry.registry.promotion import (
    bootstrap,
    champions,
    champions_at,
    find_version,
    needs_override,
    promote,
    promotion_warnings,
    refresh_champions,
    register,
    rollback,
)
from modelregistry.registry.serving import (
    LoadFailure,
    ensemble_of,
    load_ensemble,
    load_failures,
    load_version,
    loaded_versions,
    require_files,
    serving_ensemble,
)

__all__ = [
    "LoadFailure",
    "bootstrap",
    "champions",
    "champions_at",
    "ensemble_of",
    "find_version",
    "load_ensemble",
    "load_failures",
    "load_version",
    "loaded_versions",
    "needs_override",
    "promote",
    "promotion_warnings",
    "refresh_champions",
    "register",
    "require_files",
    "rollback",
    "serving_ensemble",
]
