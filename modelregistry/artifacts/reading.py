"""Read artifacts: every file is checked against its digest and for its structure before use."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelregistry.artifacts.manifest import (
    DIGEST,
    KIND,
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_MANIFEST_BYTES,
    parse_json,
    parse_manifest,
    sha256,
)
from modelregistry.artifacts.trees import check_booster, is_booster
from modelregistry.artifacts.ubjson import parse_ubjson
from modelregistry.errors import ModelLoadError

MAX_ARTIFACT_BYTES = 512 * 2**20
CONTAINERS = {b"PK": "a ZIP", b"\x1f\x8b": "a gzip", b"\x78": "a zlib", b"BZ": "a bzip2", b"\xfd7": "an xz"}
Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Content of a checked artifact."""

    kind: str
    digest: str
    manifest: dict[str, Any]
    files: dict[str, bytes]


def artifact_folder(root: Path, kind: str, digest: str) -> Path:
    """Folder of one artifact under `root`; an invalid kind or digest raises ModelLoadError."""
    if not KIND.fullmatch(kind) or not DIGEST.fullmatch(digest):
        raise ModelLoadError(f"{kind[:40]!r} {digest[:70]!r} names no artifact")
    return root / kind / digest


def read_artifact(root: Path, kind: str, digest: str) -> Artifact:
    """Read and check the artifact `digest` of `kind` under `root`.

    Raises
    ------
    ModelLoadError
        If it is missing, torn, edited, swapped, too large, a pickle by content, or holds
        trees that are not trees. Nothing of a refused artifact is returned.
    """
    folder, manifest = artifact_folder(root, kind, digest), read_manifest(root, kind, digest)
    entries = manifest["files"]
    present = _names(folder)
    if present != {MANIFEST, *entries}:
        odd = ", ".join(sorted(present ^ {MANIFEST, *entries}))
        raise ModelLoadError(f"{kind} {digest[:12]} does not hold the files its manifest lists: {odd}")
    if sum(int(entry["bytes"]) for entry in entries.values()) > MAX_ARTIFACT_BYTES:
        raise ModelLoadError(f"{kind} {digest[:12]} is larger than {MAX_ARTIFACT_BYTES} bytes")
    files = {}
    for name, entry in sorted(entries.items()):
        content = read_file(folder / name, MAX_FILE_BYTES)
        if len(content) != entry["bytes"] or sha256(content) != entry["sha256"]:
            raise ModelLoadError(f"{kind} {digest[:12]}: {name} was changed: its SHA-256 is not the manifest's")
        check_content(name, content)
        files[name] = content
    return Artifact(kind, digest, manifest, files)


def read_manifest(root: Path, kind: str, digest: str) -> dict[str, Any]:
    """Read and check the manifest alone; raises ModelLoadError if it is missing or was changed."""
    page = read_file(artifact_folder(root, kind, digest) / MANIFEST, MAX_MANIFEST_BYTES)
    return parse_manifest(page, kind, digest)


def check_content(name: str, content: bytes) -> None:
    """Raise ModelLoadError unless the content is JSON or UBJSON, with valid trees.

    The content decides, not the file name.
    """
    if content[:1] != b"{":
        for magic, what in CONTAINERS.items():
            if content.startswith(magic):
                raise ModelLoadError(f"{name} is {what} archive, not a model")
        if content[:1] == b"\x80" or content[-1:] == b".":
            raise ModelLoadError(f"{name} is a pickle by content; pickles are never loaded")
        raise ModelLoadError(f"{name} is neither JSON nor UBJSON")
    page = parse_ubjson(content, name) if name.endswith(".ubj") else parse_json(content, name)
    if name.endswith(".ubj") and not is_booster(page):
        raise ModelLoadError(f"{name} is not an XGBoost model")
    if is_booster(page):
        check_booster(page, name)


def signature(root: Path, kind: str, digest: str) -> Signature:
    """Name, size and modification time of every file; equal signatures mean unchanged files."""
    folder = artifact_folder(root, kind, digest)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        return tuple((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries)
    except OSError:
        return ()


def read_file(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes; links, devices and pipes raise."""
    label = f"{path.parent.parent.name} {path.parent.name[:12]}: {path.name}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ModelLoadError(f"{label} cannot be opened: {error.strerror}") from error
    try:
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelLoadError(f"{label} is not a regular file")
            if status.st_size > most:
                raise ModelLoadError(f"{label} is larger than {most} bytes")
            return file.read(most + 1)
    except OSError as error:
        raise ModelLoadError(f"{label} cannot be read: {error.strerror}") from error


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise ModelLoadError(f"{folder.parent.name} {folder.name[:12]} cannot be listed: {error.strerror}") from error
