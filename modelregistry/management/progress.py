"""Progress output of commands: a bar, plain lines or JSON lines."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import Progress

from marketdata import clock

ProgressReport = Callable[[int, int, str], None]


@contextmanager
def progress_output(
    title: str, *, as_json: bool, write: Callable[[str], None], errors: OutputWrapper
) -> Iterator[ProgressReport]:
    """Yield a function of (done, total, message) that reports progress.

    JSON lines go to `write`, other output to standard error (`errors`): a bar on a terminal, else a line per step.
    """
    if as_json:
        yield lambda done, total, message: write(json.dumps({"done": done, "total": total, "message": message}))
    elif not errors.isatty():
        yield _PlainLines(title, errors)
    else:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total, message: bar.update(task, completed=done, total=total, description=message)


class _PlainLines:
    """Writes a flushed line per step: share done, estimated time left, message."""

    def __init__(self, title: str, stream: OutputWrapper) -> None:
        self._title, self._stream = title, stream
        self._started = clock.monotonic()

    def __call__(self, done: int, total: int, message: str) -> None:
        """Write the line of a step."""
        left = ""
        if 0 < done < total:
            seconds = round((clock.monotonic() - self._started) * (total - done) / done)
            left = f", {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"
        share = f"{done / total:4.0%}" if total else "    "
        self._stream.write(f"{self._title} {share}{left}  {message}")
        self._stream.flush()
