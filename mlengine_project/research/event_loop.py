"""Database work that may be called in a running event loop, as in a notebook."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import connections

Given = ParamSpec("Given")
Result = TypeVar("Result")


def reads_database(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Run a function in a thread where an event loop runs in this one, and wait for it.

    Django refuses queries in a thread with a running event loop, which every cell of a notebook is. The thread has
    connections of its own, which are closed at its end.

    Examples
    --------
    >>> import threading
    >>> here = reads_database(lambda: threading.current_thread() is threading.main_thread())
    >>> async def cell():
    ...     return here()
    >>> here(), asyncio.run(cell())
    (True, False)
    """

    @wraps(function)
    def wrapped(*arguments: Given.args, **named: Given.kwargs) -> Result:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return function(*arguments, **named)

        def run() -> Result:
            try:
                return function(*arguments, **named)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1, thread_name_prefix="research") as threads:
            return threads.submit(run).result()

    return wrapped
