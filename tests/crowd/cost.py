"""Resource use of process trees: CPU seconds and peak memory."""

import threading
from typing import Self

import psutil

PERIOD_SECONDS = 1.0


class Cost:
    """Measures process trees by name inside a `with` block.

    Memory is the sum of the resident sets of a tree, so shared memory is counted for each process.
    """

    def __init__(self, roots: dict[str, int]) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in roots.items()}
        self._begun: dict[tuple[str, int], float] = {}
        self._latest: dict[tuple[str, int], float] = {}
        self._most_mib = dict.fromkeys(roots, 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._measure()
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        self._measure()

    def figures(self) -> dict:
        """Figures by name."""
        spent = dict.fromkeys(self._roots, 0.0)
        for (name, pid), seconds in self._latest.items():
            spent[name] += seconds - self._begun[name, pid]
        return {name: {"cpu_seconds": round(spent[name], 1), "most_mib": round(self._most_mib[name])} for name in spent}

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            self._measure()

    def _measure(self) -> None:
        ids = {process.pid for process in self._roots.values()}
        for name, root in self._roots.items():
            memory = 0
            for process in _tree(root, ids - {root.pid}):
                try:
                    times, memory = process.cpu_times(), memory + process.memory_info().rss
                except psutil.Error:
                    continue
                key = name, process.pid
                self._latest[key] = times.user + times.system
                self._begun.setdefault(key, self._latest[key] if not self._thread.is_alive() else 0.0)
            self._most_mib[name] = max(self._most_mib[name], memory / 2**20)


def _tree(root: psutil.Process, others: set[int]) -> list[psutil.Process]:
    """A process and its children, without those measured under another name."""
    try:
        found = [root]
        for child in root.children():
            found += [] if child.pid in others else [child, *child.children(recursive=True)]
    except psutil.Error:
        return []
    return found
