"""Progress of a long command: a terminal bar, plain lines or JSON lines."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from django.core.management.base import OutputWrapper

from marketdata import clock

PLAIN_SECONDS = 5.0
JSON_SECONDS = 0.5
WHOLE_RUN_SECONDS = 1e9
Stream = TextIO | OutputWrapper


class Report(Protocol):
    """Function to call with the amount done, the total and, where the work has named steps, the step."""

    def __call__(self, done: int, total: int, step: str = "", /) -> None:
        """Report progress."""


@contextmanager
def progress_reporter(label: str, stream: Stream, *, as_json: bool = False) -> Iterator[Report]:
    """Yield a function that reports progress; on a terminal the bar goes to standard error."""
    if as_json:
        words = lambda done, total, step: json.dumps({"done": done, "total": total, "message": step or label})  # noqa: E731
        yield _Lines(stream, JSON_SECONDS, words)
    elif stream.isatty():
        with _bar(label) as report:
            yield report
    else:
        yield _Lines(stream, PLAIN_SECONDS, _PlainLine(label))


class _Lines:
    """Writes flushed lines: one for every named step, else at a limited rate, and one at the end."""

    def __init__(self, stream: Stream, seconds: float, words: Callable[[int, int, str], str]) -> None:
        self._stream, self._seconds, self._words = stream, seconds, words
        self._written_at = float("-inf")

    def __call__(self, done: int, total: int, step: str = "", /) -> None:
        """Write a line if it is due."""
        now = clock.monotonic()
        if step or now - self._written_at >= self._seconds or done >= total:
            self._written_at = now
            self._stream.write(self._words(done, total, step) + "\n")
            self._stream.flush()


class _PlainLine:
    """Text of a line with the estimated remaining time, at the rate so far."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._made_at = clock.monotonic()
        self._begun: tuple[float, int] | None = None

    def __call__(self, done: int, total: int, step: str) -> str:
        """Text of a line."""
        if self._begun is None:
            # Amounts may continue an earlier run, steps begin at 0.
            self._begun = (self._made_at, 0) if step else (clock.monotonic(), done)
        if step:
            share = f"{done / total:4.0%}" if total else "    "
            return f"{self._label} {share}{self._left(done, total)}  {step}"
        return f"{self._label}: {done:,} of {total:,}{self._left(done, total)}"

    def _left(self, done: int, total: int) -> str:
        assert self._begun is not None
        began_at, begun = self._begun
        if done <= begun or done >= total:
            return ""
        left = round((total - done) * (clock.monotonic() - began_at) / (done - begun))
        return f", {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"


@contextmanager
def _bar(label: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Steps may take minutes each: the time left follows from the whole run, not from its last half minute.
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=WHOLE_RUN_SECONDS) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total, step="", /: progress.update(
            task, completed=done, total=total, description=step or label
        )
