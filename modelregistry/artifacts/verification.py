"""Verification of artifacts in a child process, cached while their files are unchanged.

The serving process only parses artifacts that a child process has verified.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from marketdata.process_state import process_state
from modelregistry.artifacts.reading import Signature, signature
from modelregistry.errors import ModelLoadError

TIMEOUT_SECONDS = 90
PROJECT = Path(__file__).resolve().parent.parent.parent
PASSED_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
"""Environment variables passed to the child: no key, no password, no address."""


class Verdicts(dict[tuple[str, str, str], tuple[Signature, str]]):
    """Verdicts of this process by root, kind and digest, with the files they are about."""

    lock = threading.Lock()


def verify_in_child(root: Path, artifacts: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Verify artifacts, given as (kind, digest), in one child process.

    Returns
    -------
    dict
        Reason why each artifact must not be used, or an empty string. A verdict is cached until a file
        of the artifact changes; one caused by the machine (a timeout) is not.
    """
    verdict_cache = process_state.of(Verdicts)
    with verdict_cache.lock:
        before = {key: signature(root, *key) for key in artifacts}
        verdicts = {key: _known(root, key, before[key]) for key in artifacts}
        left = [key for key in artifacts if verdicts[key] is None]
        while left:
            found, failure, lasting = _run(root, left)
            for key, verdict in found.items():
                verdict_cache[str(root), *key] = (before[key], verdict)
            verdicts |= found
            if culprit := next((key for key in left if key not in found), None):
                verdicts[culprit] = failure
                if lasting:
                    verdict_cache[str(root), *culprit] = (before[culprit], failure)
            left = [key for key in left if verdicts[key] is None]
        return {key: verdict or "" for key, verdict in verdicts.items()}


def require_verified(root: Path, kind: str, digest: str) -> None:
    """Raise ModelLoadError unless the artifact passes verification."""
    if verdict := verify_in_child(root, [(kind, digest)])[kind, digest]:
        raise ModelLoadError(verdict)


def _known(root: Path, key: tuple[str, str], now: Signature) -> str | None:
    then, verdict = process_state.of(Verdicts).get((str(root), *key), ((), ""))
    return verdict if now and then == now else None


def _run(root: Path, artifacts: list[tuple[str, str]]) -> tuple[dict[tuple[str, str], str], str, bool]:
    """Run one child process; return verdicts, a failure, and whether the artifact caused it."""
    environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    request = json.dumps({"root": str(root.resolve()), "artifacts": artifacts})
    try:
        child = subprocess.run(
            [sys.executable, "-m", "modelregistry.artifacts.child"],
            cwd=PROJECT,
            env=environment,
            input=request,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        written = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return _verdicts(written), f"its verification took longer than {TIMEOUT_SECONDS} seconds", False
    except OSError as error:
        return {}, f"its verification could not start: {error.strerror}", False
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return _verdicts(child.stdout), f"the process that verified it was ended by {name}", name != "SIGKILL"
    last = (child.stderr.strip().splitlines() or ["no output"])[-1][:200]
    return _verdicts(child.stdout), f"its verification failed: {last}", True


def _verdicts(written: str) -> dict[tuple[str, str], str]:
    lines = [json.loads(line) for line in written.splitlines(keepends=True) if line.endswith("\n")]
    return {(line["kind"], line["digest"]): line["error"] for line in lines}
