"""Manifests: canonical JSON with the hash of every file of an artifact and its provenance."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from modelregistry.errors import ArtifactWriteError, ModelLoadError

MANIFEST = "manifest.json"
FORMAT = 1
MAX_FILE_BYTES = 256 * 2**20
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_FILES = 64
RESERVED = ("format", "kind", "files", "golden_rows")
DIGEST = re.compile(r"[0-9a-f]{64}")
KIND = re.compile(r"[a-z][a-z_]{0,40}")
FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,80}\.(ubj|json)")


def canonical_json(value: object) -> bytes:
    r"""Serialise `value` canonically: sorted keys, no spaces, ASCII, no NaN.

    Floats are written as the shortest text that reads back to the same double.

    >>> canonical_json({"b": [1.5, None], "a": "é"})
    b'{"a":"\\u00e9","b":[1.5,null]}\n'
    """
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of `content`.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def build_manifest(
    kind: str, files: Mapping[str, bytes], fields: Mapping[str, Any], golden_rows: Mapping[str, Any]
) -> bytes:
    """Canonical bytes of the manifest of `files`; their SHA-256 is the artifact's digest.

    Raises
    ------
    ArtifactWriteError
        If a name, a field or a number is not allowed in a manifest.

    Examples
    --------
    >>> page = build_manifest("range_predictor", {"a.json": b"{}"}, {"seed": 7}, {})
    >>> parse_manifest(page, "range_predictor", sha256(page))["seed"]
    7
    """
    if clash := sorted(set(RESERVED) & set(fields)):
        raise ArtifactWriteError(f"manifest fields may not be called {', '.join(clash)}")
    if bad := sorted(name for name in files if name == MANIFEST or not FILE_NAME.fullmatch(name)):
        raise ArtifactWriteError(f"not a name for an artifact's file: {', '.join(bad)}")
    if not KIND.fullmatch(kind) or not 0 < len(files) <= MAX_FILES:
        raise ArtifactWriteError(f"an artifact needs a kind and 1 to {MAX_FILES} files, got {kind!r} and {len(files)}")
    entries = {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in files.items()}
    page = {**fields, "format": FORMAT, "kind": kind, "files": entries, "golden_rows": golden_rows}
    try:
        written = canonical_json(page)
    except (TypeError, ValueError) as error:
        raise ArtifactWriteError(f"the manifest cannot be written as JSON: {error}") from error
    if len(written) > MAX_MANIFEST_BYTES:
        raise ArtifactWriteError(f"the manifest is {len(written)} bytes; at most {MAX_MANIFEST_BYTES}")
    return written


def parse_manifest(page: bytes, kind: str, digest: str) -> dict[str, Any]:
    """Parse a manifest and check it against `digest`.

    Raises
    ------
    ModelLoadError
        If the content has another digest, or does not describe an artifact of `kind`.
    """
    if sha256(page) != digest:
        raise ModelLoadError(f"the manifest of {kind} {digest[:12]} was changed: its SHA-256 is not its name")
    manifest = parse_json(page, MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("kind") != kind:
        raise ModelLoadError(f"the manifest of {kind} {digest[:12]} describes something else")
    entries = manifest.get("files")
    if not isinstance(entries, dict) or not 0 < len(entries) <= MAX_FILES:
        raise ModelLoadError(f"the manifest of {kind} {digest[:12]} lists no files")
    for name, entry in entries.items():
        sound = isinstance(entry, dict) and set(entry) == {"sha256", "bytes"}
        if not FILE_NAME.fullmatch(name) or not sound or not 0 <= int(entry["bytes"]) <= MAX_FILE_BYTES:
            raise ModelLoadError(f"the manifest of {kind} {digest[:12]} has a bad entry for {name!r}")
    return manifest


def parse_json(content: bytes, name: str) -> dict[str, Any]:
    """Parse a JSON object strictly: no NaN, no duplicate key, limited nesting.

    >>> parse_json(b'{"a": 1, "a": 2}', "x.json")
    Traceback (most recent call last):
        ...
    modelregistry.errors.ModelLoadError: x.json is not strict JSON: the key 'a' appears twice
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{name} is not strict JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelLoadError(f"{name} is not strict JSON: the page is not an object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} appears twice")
        found[key] = value
    return found


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number JSON has")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large")
    return number
