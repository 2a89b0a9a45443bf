"""The process that does parts of another's training run, at low priority and with its own memory.

Run as ``python -m modelregistry.hand RUN``; it ends when no part is left to claim.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NICENESS = 10
STOP_SECONDS = 10


def start(run: str) -> "subprocess.Popen[bytes]":
    """Start a process that lends a hand to a run."""
    return subprocess.Popen([sys.executable, "-m", "modelregistry.hand", run], cwd=ROOT)  # noqa: S603  (our own module)


def invite_here(run: str, hands: int) -> Callable[[], None]:
    """Start so many hands on this machine; what is returned stops those that still work."""
    processes = [start(run) for _ in range(hands)]

    def send_away() -> None:
        for process in processes:
            stop(process)

    return send_away


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a hand, kindly first."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Lend a hand to the run named on the command line."""
    with contextlib.suppress(OSError):
        os.nice(max(0, NICENESS - os.nice(0)))
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")
    django.setup()
    from modelregistry.spreading import lend_hand

    lend_hand(sys.argv[1])


if __name__ == "__main__":
    main()
