"""How a long command tells how far it is: a bar for people, plain lines for a file, JSON lines for a parent process."""

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
    title: str, *, as_json: bool, write: Callable[[str], None], beside: OutputWrapper
) -> Iterator[ProgressReport]:
    """Yield a function of (done, total, message).

    JSON lines go to `write`; everything else goes to standard error, `beside` the command's output: a bar where
    that is a terminal, a line per step where it is not.
    """
    if as_json:
        yield lambda done, total, message: write(json.dumps({"done": done, "total": total, "message": message}))
    elif not beside.isatty():
        yield _PlainLines(title, beside)
    else:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total, message: bar.update(task, completed=done, total=total, description=message)


class _PlainLines:
    """A line per step with the share done and the time left at the pace so far, seen at once."""

    def __init__(self, title: str, stream: OutputWrapper) -> None:
        self._title, self._stream = title, stream
        self._begun = clock.monotonic()

    def __call__(self, done: int, total: int, message: str) -> None:
        """ProgressReport a step."""
        left = ""
        if 0 < done < total:
            seconds = round((clock.monotonic() - self._begun) * (total - done) / done)
            left = f", {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"
        share = f"{done / total:4.0%}" if total else "    "
        self._stream.write(f"{self._title} {share}{left}  {message}")
        self._stream.flush()
