"""Model artifacts on disk: folders named by the digest of their manifest, verified before use.

The modules of this package work on any folder and import no framework; the functions here apply them to the folder
`MODEL_PATH`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelregistry.artifacts import reading, verification, writing
from modelregistry.artifacts.reading import Artifact

__all__ = ["Artifact", "can_write", "is_present", "model_root", "read_artifact", "verify_in_child", "write_artifact"]


def model_root() -> Path:
    """Folder that holds every artifact."""
    from django.conf import settings

    return Path(settings.MODEL_PATH)


def is_present(kind: str, digest: str) -> bool:
    """Whether the folder of an artifact is readable and not empty, unverified."""
    return bool(reading.signature(model_root(), kind, digest))


def can_write() -> bool:
    """Whether this process may write artifacts; in production only the trainer may."""
    folder = model_root()
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)


def write_artifact(
    kind: str, files: Mapping[str, bytes], manifest_fields: Mapping[str, Any], golden_rows: Mapping[str, Any]
) -> str:
    """Write an artifact atomically and return its digest; see :func:`writing.write_artifact`."""
    return writing.write_artifact(model_root(), kind, files, manifest_fields, golden_rows)


def read_artifact(kind: str, digest: str) -> Artifact:
    """Read an artifact with all its checks; see :func:`reading.read_artifact`."""
    return reading.read_artifact(model_root(), kind, digest)


def verify_in_child(kind: str, digest: str) -> None:
    """Raise ModelLoadError unless a child process can load the artifact and reproduce its golden rows."""
    verification.require_verified(model_root(), kind, digest)
