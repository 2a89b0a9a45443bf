"""The registry: which versions exist, which one is champion, and the ensemble of champions in memory."""

from modelregistry.registry.promotion import (
    bootstrap,
    champions,
    champions_at,
    find_version,
    promote,
    register,
    rollback,
)
from modelregistry.registry.serving import (
    LoadFailure,
    ensemble_of,
    follow,
    forget,
    load_ensemble,
    load_failures,
    load_version,
    loaded_versions,
    require_files,
)

__all__ = [
    "LoadFailure",
    "bootstrap",
    "champions",
    "champions_at",
    "ensemble_of",
    "find_version",
    "follow",
    "forget",
    "load_ensemble",
    "load_failures",
    "load_version",
    "loaded_versions",
    "promote",
    "register",
    "require_files",
    "rollback",
]
