"""External programs for comparison, each in its own environment, driven over a pipe.

uv creates the environment once in the user's cache folder. The program reads its inputs from a folder, reports its
versions, and runs its work once for every line it receives.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import numpy as np

HERE = Path(__file__).resolve().parent


class Unavailable(Exception):
    """The program cannot be installed or started."""


def environment(name: str, requirements: list[str]) -> Path:
    """The interpreter of an environment with exactly these packages, created if missing."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ml-engine-benchmarks"
    folder = home / f"{name}-{'-'.join(requirements).replace('==', '_')}"
    python = folder / "bin" / "python"
    home.mkdir(parents=True, exist_ok=True)
    if (folder / "ready").exists():
        return python
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # Outside the project, whose constraints would apply to the program too.
    for words in (
        ["uv", "venv", "--quiet", "--clear", "--python", version, str(folder)],
        ["uv", "pip", "install", "--quiet", "--python", str(python), *requirements],
    ):
        try:
            done = subprocess.run(words, cwd=home, capture_output=True, text=True, timeout=900, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{name}: {error}") from error
        if done.returncode:
            raise Unavailable(f"{name} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    (folder / "ready").touch()
    return python


class ExternalProgram:
    """A running program in its own environment."""

    def __init__(self, name: str, requirements: list[str], folder: Path, inputs: dict[str, object]) -> None:
        self.folder = folder
        folder.mkdir()
        np.savez(folder / "inputs.npz", **{key: np.asarray(value) for key, value in inputs.items()})
        words = [str(environment(name, requirements)), str(HERE / f"rival_{name}.py"), str(folder)]
        self.log = (folder / "log").open("w")
        # Spinning threads would slow it down, as they would the engine.
        surroundings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": ""}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=surroundings
        )
        self.versions: dict[str, str] = self._read_answer()

    def work(self) -> dict[str, float]:
        """Run its work once; returns wall and CPU seconds, and further reported values."""
        self.process.stdin.write("work\n")
        self.process.stdin.flush()
        return self._read_answer()

    def answers(self) -> np.ndarray:
        """The result of its last run."""
        return np.load(self.folder / "answers.npy")

    def _read_answer(self) -> dict:
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):
            line = self.process.stdout.readline()
        if not line:
            self.log.flush()
            log_lines = (self.folder / "log").read_text().strip().splitlines() or ["no output"]
            raise Unavailable(f"{self.folder.name} ended: {log_lines[-1]}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()
