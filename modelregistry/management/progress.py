"""How a long command tells how far it is: a bar for people, JSON lines for a parent process."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

Tell = Callable[[int, int, str], None]


@contextmanager
def told(title: str, *, as_json: bool, write: Callable[[str], None]) -> Iterator[Tell]:
    """Yield a function of (done, total, message): JSON lines, a bar on a terminal, silence otherwise."""
    console = Console(stderr=True)
    if as_json:
        yield lambda done, total, message: write(json.dumps({"done": done, "total": total, "message": message}))
    elif not console.is_terminal:
        yield lambda *_: None
    else:
        with Progress(console=console) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total, message: bar.update(task, completed=done, total=total, description=message)
