"""Other people's programs, each in an environment of its own, asked over a pipe to do one piece of work at a time.

The environment is made once, by uv, under the cache folder of the user. The program reads its inputs from a folder,
says which versions it is, and then works once for every line it is sent.
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
    """A rival cannot be installed or does not start; the text says why."""


def environment(name: str, requirements: list[str]) -> Path:
    """The interpreter of an environment with exactly these packages, made if it is not there."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ml-engine-benchmarks"
    folder = home / f"{name}-{'-'.join(requirements).replace('==', '_')}"
    python = folder / "bin" / "python"
    home.mkdir(parents=True, exist_ok=True)
    if (folder / "ready").exists():
        return python
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # From outside the project, whose own constraints would bind the rival too.
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


class Rival:
    """A running program of another environment."""

    def __init__(self, name: str, requirements: list[str], folder: Path, inputs: dict[str, object]) -> None:
        self.folder = folder
        folder.mkdir()
        np.savez(folder / "inputs.npz", **{key: np.asarray(value) for key, value in inputs.items()})
        words = [str(environment(name, requirements)), str(HERE / f"rival_{name}.py"), str(folder)]
        self.log = (folder / "log").open("w")
        # Threads that spin while they wait would only slow it down here, as they would us.
        surroundings = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": ""}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=surroundings
        )
        self.versions: dict[str, str] = self._hear()

    def work(self) -> dict[str, float]:
        """Let it work once; seconds by the wall and of the processor, and what else it tells."""
        self.process.stdin.write("work\n")
        self.process.stdin.flush()
        return self._hear()

    def answers(self) -> np.ndarray:
        """What its last piece of work came to."""
        return np.load(self.folder / "answers.npy")

    def _hear(self) -> dict:
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):
            line = self.process.stdout.readline()
        if not line:
            self.log.flush()
            told = (self.folder / "log").read_text().strip().splitlines() or ["no word"]
            raise Unavailable(f"{self.folder.name} ended: {told[-1]}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()
