"""Readers of settings from the environment and `.env`, with default and type.

An invalid value does not raise: it is recorded in `PROBLEMS`, the default is used, and
`manage.py check` reports what to write (see `mlengine_project.checks`).
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import environ

ROOT = Path(__file__).resolve().parent.parent
PROBLEMS: list[str] = []
"""Messages about settings that could not be read, with what to write instead."""

if os.environ.get("MLENGINE_ENV_FILE", ".env"):
    environ.Env.read_env(ROOT / os.environ.get("MLENGINE_ENV_FILE", ".env"))

Value = TypeVar("Value")


def read(name: str, default: Value, parse: Callable[[str], Value], form: str) -> Value:
    """Read one variable; the default for an empty or invalid one, which is recorded as a problem."""
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except (ValueError, TypeError) as error:
        PROBLEMS.append(f"{name} is {raw!r}, which cannot be used ({error}); write {form}.")
        return default


def text(name: str, default: str = "") -> str:
    """A string."""
    return read(name, default, str, "a text")


def address(name: str, default: str = "") -> str:
    """A URL that can be parsed."""
    return read(name, default, valid_url, "an address such as scheme://host:port, an IPv6 host in brackets")


def valid_url(url: str) -> str:
    """The same URL; raises ValueError for an open bracket or a port above 65535."""
    _ = urlsplit(url).port
    return url


def integer(name: str, default: int, minimum: int = 0) -> int:
    """A whole number of at least `minimum`."""

    def parse(raw: str) -> int:
        value = int(raw)
        if value < minimum:
            raise ValueError(f"below {minimum}")
        return value

    return read(name, default, parse, f"a whole number of at least {minimum}, for example {name}={default}")


def fraction(name: str, default: float, maximum: float = 1.0) -> float:
    """A finite number between 0 and `maximum`."""

    def parse(raw: str) -> float:
        value = float(raw)
        if not 0 <= value <= maximum:
            raise ValueError(f"outside 0 to {maximum}")
        return value

    return read(name, default, parse, f"a number from 0 to {maximum}, for example {name}={default}")


def boolean(name: str, default: bool = False) -> bool:
    """A boolean."""

    def parse(raw: str) -> bool:
        if raw.lower() in {"1", "true", "yes", "on"}:
            return True
        if raw.lower() in {"0", "false", "no", "off"}:
            return False
        raise ValueError("neither true nor false")

    return read(name, default, parse, f"{name}=true or {name}=false")


def listing(name: str, default: list[str], accept: Callable[[str], str] = str) -> list[str]:
    """A list as `a,b` or as JSON; `accept` raises for an invalid item."""

    def parse(raw: str) -> list[str]:
        parts = json.loads(raw) if raw.startswith("[") else raw.split(",")
        return [accept(str(part).strip()) for part in parts if str(part).strip()]

    return read(name, default, parse, f'a list such as {name}=a,b or {name}=["a","b"]')


def numbers(name: str, default: list[int]) -> list[int]:
    """A list of positive whole numbers."""

    def parse(raw: str) -> list[int]:
        parts = json.loads(raw) if raw.startswith("[") else raw.split(",")
        values = sorted({int(part) for part in parts})
        if not values or values[0] < 1:
            raise ValueError("needs whole numbers above 0")
        return values

    return read(name, default, parse, f"{name}=6,18,36,72")


def redis_database(url: str) -> int:
    """The database number in a Redis URL, 0 without one.

    >>> redis_database("redis://127.0.0.1:6379/4"), redis_database("redis://127.0.0.1")
    (4, 0)
    """
    number = urlsplit(url).path.strip("/")
    return int(number) if number.isdecimal() else 0


def own_redis_database(url: str, worker: str | None = None) -> str:
    """Give each parallel test process a Redis database of its own, counted down from the one named.

    They clear their caches between tests and must not clear each other's.

    >>> own_redis_database("redis://127.0.0.1:6379/15", "gw1")
    'redis://127.0.0.1:6379/14'
    """
    worker = (os.environ.get("PYTEST_XDIST_WORKER", "") if worker is None else worker).removeprefix("gw")
    address, _, database = url.rpartition("/")
    if not worker.isdigit() or not database.isdigit():
        return url
    return f"{address}/{max(0, int(database) - int(worker))}"


def process_kind(words: Sequence[str] | None = None) -> str:
    """Kind of this process in one word, shown in the database server's list of connections.

    >>> process_kind(["/srv/bin/celery", "-A", "mlengine_project", "beat"]), process_kind(["manage.py", "doctor"])
    ('beat', 'doctor')
    """
    program, *rest = words or sys.argv or [""]
    name = Path(program).name
    if name == "manage.py":
        return rest[0] if rest else "manage.py"
    if name in {"celery", "__main__.py"} and (found := [word for word in rest if word in {"worker", "beat"}]):
        return found[0]
    return "web" if name == "uvicorn" or "uvicorn" in Path(program).parts else name


def stored_secret(path: Path) -> str:
    """A random secret, generated once and stored in a file only its owner can read."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
        return path.read_text().strip()
