"""Atomic writing of artifacts.

Temporary folder in the same parent, fsync of every file, hash of the content read back, rename, fsync of the parent.
The database row is written afterwards.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelregistry.artifacts.manifest import MANIFEST, MAX_FILE_BYTES, build_manifest, sha256
from modelregistry.artifacts.reading import artifact_folder, check_content, read_artifact, read_file
from modelregistry.errors import ArtifactWriteError, ModelLoadError

UNFINISHED = ".writing-"
ABANDONED_SECONDS = 24 * 3600


def write_artifact(
    root: Path,
    kind: str,
    files: Mapping[str, bytes],
    manifest_fields: Mapping[str, Any],
    golden_rows: Mapping[str, Any],
) -> str:
    """Write `files` and their manifest under `root`; return the digest of the artifact.

    The same inputs give the same bytes, hence the same folder: writing them twice is no error.
    A damaged folder of that name is replaced.

    Raises
    ------
    ArtifactWriteError
        If the disk is full or fails, or the files could not be read back. Nothing is left behind.
    """
    page = build_manifest(kind, files, manifest_fields, golden_rows)
    for name, content in files.items():
        _refuse_unreadable(name, content)
    digest = sha256(page)
    final = artifact_folder(root, kind, digest)
    unfinished = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if _is_sound(root, kind, digest):
            os.utime(final)  # keeps the sweep from removing it before it is registered
            return digest
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=final.parent))
        unfinished.chmod(0o755)
        for name, content in {**files, MANIFEST: page}.items():
            _write_through(unfinished / name, content)
        fsync_folder(unfinished)
        _put_in_place(unfinished, final)
        fsync_folder(final.parent)
    except OSError as error:
        raise ArtifactWriteError(f"{kind} {digest[:12]} could not be written: {error.strerror or error}") from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
            _sweep(final.parent)
    return digest


def _refuse_unreadable(name: str, content: bytes) -> None:
    if len(content) > MAX_FILE_BYTES:
        raise ArtifactWriteError(f"{name} is {len(content)} bytes; at most {MAX_FILE_BYTES}")
    try:
        check_content(name, content)
    except ModelLoadError as error:
        raise ArtifactWriteError(f"it could not be read back: {error}") from error


def _is_sound(root: Path, kind: str, digest: str) -> bool:
    try:
        read_artifact(root, kind, digest)
    except ModelLoadError:
        return False
    return True


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
    try:
        kept = sha256(read_file(path, len(content)))
    except ModelLoadError as error:
        raise OSError(str(error)) from error
    if kept != sha256(content):
        raise OSError(f"{path.name} read back differs from what was written")


def _put_in_place(unfinished: Path, final: Path) -> None:
    """Rename into place, over an existing folder: a concurrent copy or a damaged one."""
    try:
        unfinished.rename(final)
    except OSError:
        if not final.exists():
            raise
        damaged = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=final.parent))
        final.rename(damaged)
        unfinished.rename(final)
        shutil.rmtree(damaged, ignore_errors=True)


def fsync_folder(folder: Path) -> None:
    """Write the entries of a folder through to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(parent: Path) -> None:
    """Remove leftovers of killed writers after a day, by the clock of the file system."""
    now = parent.stat().st_mtime
    for entry in parent.glob(f"{UNFINISHED}*"):
        try:
            if now - entry.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
        except OSError:
            continue
