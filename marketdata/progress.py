"""Progress of a long command: a terminal bar, plain lines or JSON lines."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from marketdata import clock

PLAIN_SECONDS = 5.0
JSON_SECONDS = 0.5
Report = Callable[[int, int], None]


@contextmanager
def progress_reporter(label: str, stream: TextIO, *, as_json: bool = False) -> Iterator[Report]:
    """Yield a function to call with the amount done and the total."""
    if as_json:
        yield _Lines(
            stream, JSON_SECONDS, lambda done, total: json.dumps({"done": done, "total": total, "message": label})
        )
    elif stream.isatty():
        with _bar(label) as report:
            yield report
    else:
        left = _TimeLeft()
        yield _Lines(stream, PLAIN_SECONDS, lambda done, total: f"{label}: {done:,} of {total:,}{left(done, total)}")


class _Lines:
    """Writes progress lines at a limited rate, and one at the end."""

    def __init__(self, stream: TextIO, seconds: float, words: Callable[[int, int], str]) -> None:
        self._stream, self._seconds, self._words = stream, seconds, words
        self._written_at = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Write a line if it is due."""
        now = clock.monotonic()
        if now - self._written_at >= self._seconds or done >= total:
            self._written_at = now
            self._stream.write(self._words(done, total) + "\n")


class _TimeLeft:
    """Estimated remaining time as text, at the rate so far."""

    def __init__(self) -> None:
        self._begun: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> str:
        """Remaining time; empty at the first call and at the end."""
        now = clock.monotonic()
        if self._begun is None:
            self._begun = now, done
        seconds, candles = now - self._begun[0], done - self._begun[1]
        if candles <= 0 or done >= total:
            return ""
        left = round((total - done) * seconds / candles)
        return f", {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"


@contextmanager
def _bar(label: str) -> Iterator[Report]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
