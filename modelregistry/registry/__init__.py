"""The registry: which versions exist, which one is champion, and the ensemble of champions in memory."""

from modelregistry.registry.promotion import (
    bootstrap,
    champions,
    champions_at,
    find_version,
    promote,
    promotion_warnings,
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
    unload_all,
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
    "promote",
    "promotion_warnings",
    "register",
    "require_files",
    "rollback",
    "unload_all",
]
