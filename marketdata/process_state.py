"""State that this process keeps between calls, owned by one object.

A module describes its state by a class of its own, and reads the one instance of it here.
"""

import threading
from typing import Any, TypeVar

State = TypeVar("State")


class ProcessState:
    """One instance of every class of state, made at its first use.

    Examples
    --------
    >>> kept = ProcessState()
    >>> kept.of(list).append("a candle")
    >>> kept.of(list)
    ['a candle']
    >>> kept.drop(list)
    >>> kept.of(list)
    []
    """

    def __init__(self) -> None:
        self._instances: dict[type, Any] = {}
        self._lock = threading.Lock()

    def of(self, kind: type[State]) -> State:
        """The instance of a class."""
        if kind not in self._instances:
            with self._lock:
                self._instances.setdefault(kind, kind())
        found: State = self._instances[kind]
        return found

    def drop(self, *kinds: type) -> None:
        """Drop the instances of these classes, by default all, as in a new process."""
        with self._lock:
            for kind in kinds or list(self._instances):
                self._instances.pop(kind, None)


process_state = ProcessState()
"""The state of this process."""
