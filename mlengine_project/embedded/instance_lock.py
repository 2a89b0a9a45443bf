"""Lock that allows one embedded engine per state folder; two would send every signal twice."""

import fcntl
import json
import os
from pathlib import Path

from indicators.errors import MLEngineError


class AlreadyRunning(MLEngineError):
    """Another `up` holds the lock of this state folder."""


class InstanceLock:
    """A file lock, which the operating system releases when the process ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "up.lock"
        self._handle: int | None = None

    def acquire(self, url: str) -> None:
        """Acquire the lock; the error names the process that holds it.

        Raises
        ------
        AlreadyRunning
            If another live process holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(os.read(handle, 4096))
            os.close(handle)
            raise AlreadyRunning(f"another `up` is running{holder}; stop it first.") from error
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid(), "url": url}).encode())
        self._handle = handle

    def release(self) -> None:
        """Release the lock."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


def _holder(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return f" (process {holder['pid']}, {holder['url']})"
    except (ValueError, KeyError, TypeError):
        return ""
