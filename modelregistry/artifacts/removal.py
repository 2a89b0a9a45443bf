"""Two-step removal of artifacts (rename, then delete), and search for abandoned folders."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from modelregistry.artifacts.manifest import DIGEST, KIND
from modelregistry.artifacts.reading import artifact_folder
from modelregistry.artifacts.writing import ABANDONED_SECONDS, UNFINISHED

MARK = ".removing-"


def stored_artifacts(root: Path) -> Iterator[tuple[str, str]]:
    """Kind and digest of every artifact folder under `root`."""
    for kind in _kind_folders(root):
        for folder in sorted(kind.iterdir()):
            if DIGEST.fullmatch(folder.name) and folder.is_dir():
                yield kind.name, folder.name


def mark_for_removal(root: Path, kind: str, digest: str) -> bool:
    """Rename the folder of an artifact, which no longer serves; False where there is none."""
    try:
        artifact_folder(root, kind, digest).rename(_marked_path(root, kind, digest))
    except FileNotFoundError:
        return False
    return True


def restore(root: Path, kind: str, digest: str) -> None:
    """Undo `mark_for_removal`, unless the artifact was written again in the meantime."""
    with contextlib.suppress(OSError):
        _marked_path(root, kind, digest).rename(artifact_folder(root, kind, digest))


def marked_artifacts(root: Path) -> list[tuple[str, str]]:
    """Kind and digest of every artifact marked for removal."""
    found = [folder for kind in _kind_folders(root) for folder in sorted(kind.glob(f"{MARK}*"))]
    return [(folder.parent.name, folder.name.removeprefix(MARK)) for folder in found]


def delete_marked(root: Path, kind: str, digest: str) -> None:
    """Delete an artifact marked for removal; missing parts are no error."""
    shutil.rmtree(_marked_path(root, kind, digest), ignore_errors=True)


def abandoned_folders(root: Path, now: float) -> list[Path]:
    """Folders left by interrupted training a day or more before `now`, relative to `root`.

    `now` is in Unix seconds.
    """
    unfinished = [folder for kind in _kind_folders(root) for folder in sorted(kind.glob(f"{UNFINISHED}*"))]
    # Versions before 0.2 kept files of trainings with several processes there.
    parts = sorted((root / "parts").glob("*-*-*-*-*"))
    return [folder.relative_to(root) for folder in [*unfinished, *parts] if is_abandoned(folder, now)]


def is_abandoned(folder: Path, now: float) -> bool:
    """Whether nothing was written into a folder for a day before `now` (Unix seconds)."""
    try:
        return now - folder.stat().st_mtime > ABANDONED_SECONDS
    except OSError:
        return False


def size_bytes(folder: Path) -> int:
    """Bytes of the files in a folder."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(path) / name).stat().st_size
    return total


def _kind_folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.iterdir() if KIND.fullmatch(folder.name) and folder.is_dir())


def _marked_path(root: Path, kind: str, digest: str) -> Path:
    folder = artifact_folder(root, kind, digest)
    return folder.with_name(MARK + digest)
