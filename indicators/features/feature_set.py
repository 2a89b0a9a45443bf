"""The features an installation computes: its own families, and those of other packages (`EXTRA_FEATURES`).

A family of another package is a function of a window, like ours. Its columns follow ours, so a version trained without
them reads the same columns as before.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TypeVar

import numpy as np

from indicators.candles import CANDLE_COLUMNS, FURTHER_COLUMNS, INTERVAL_MS
from indicators.errors import FeatureError
from indicators.features import families
from indicators.features.families import Family
from indicators.features.stream import Stream
from indicators.features.window import WARMUP, Window

DEFINITION = "1"
"""Raised whenever a feature of ours keeps its name and changes its value."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
Decorated = TypeVar("Decorated", bound=Family)


def reads_markets(*symbols: str) -> Callable[[Decorated], Decorated]:
    """Declare that a family reads these other markets, by :meth:`indicators.features.window.Window.other`.

    Examples
    --------
    >>> @reads_markets("BTCUSDT")
    ... def features(window):
    ...     yield "btc_return", window.other("BTCUSDT", lambda btc: btc.returns)
    >>> FeatureSet((features,)).other_markets
    ('BTCUSDT',)
    """

    def mark(family: Decorated) -> Decorated:
        family.markets = symbols  # type: ignore[attr-defined]
        return family

    return mark


def reads_columns(*names: str) -> Callable[[Decorated], Decorated]:
    """Declare that a family reads further columns of candles, by :meth:`indicators.features.window.Window.further`.

    Raises
    ------
    FeatureError
        If a name is not in `FURTHER_COLUMNS`.

    Examples
    --------
    >>> @reads_columns("trades")
    ... def features(window):
    ...     yield "trades_12", window.further("trades", lambda trades: window.mean(trades, 12))
    >>> FeatureSet((features,)).further_columns
    ('trades',)
    """
    if unknown := [name for name in names if name not in FURTHER_COLUMNS]:
        raise FeatureError(f"candles have no further column {unknown[0]!r}; there are {', '.join(FURTHER_COLUMNS)}")

    def mark(family: Decorated) -> Decorated:
        family.columns = names  # type: ignore[attr-defined]
        return family

    return mark


@dataclass(frozen=True)
class FeatureSet:
    """Names and definitions of all columns, in order: candles, calendar, then families of other packages.

    Parameters
    ----------
    extra : tuple of Family
        Functions of other packages; a process gets them by their dotted names.
    day_ahead : bool, default False
        Whether seasons and calendar look a whole day ahead too, for horizons above 72.

    Raises
    ------
    FeatureError
        By `names`, if a family fails, or yields a name that is taken or not a name.

    Examples
    --------
    >>> FeatureSet().names[0], len(FeatureSet().definitions)
    ('volatility_level', 0)
    """

    extra: tuple[Family, ...] = ()
    day_ahead: bool = False

    @cached_property
    def candle_names(self) -> tuple[str, ...]:
        """Columns of our families of candles."""
        return tuple(name for name, _ in families.candle_features(_blank_window(), day_ahead=self.day_ahead))

    @cached_property
    def calendar_names(self) -> tuple[str, ...]:
        """Columns of the calendar."""
        times = np.zeros(1, dtype=np.int64)
        return tuple(name for name, _ in families.CALENDAR(times, INTERVAL_MS, day_ahead=self.day_ahead))

    @cached_property
    def families(self) -> dict[str, tuple[str, ...]]:
        """Columns of every family of another package, by its dotted name."""
        taken = {*self.candle_names, *self.calendar_names}
        found: dict[str, tuple[str, ...]] = {}
        for family in self.extra:
            label = dotted_name(family)
            try:
                names = tuple(name for name, _ in family(_blank_window(markets_of(family), columns_of(family))))
            except Exception as error:
                raise FeatureError(f"{label} fails on a window of one candle: {error!r}") from error
            if bad := [name for name in names if not NAME.fullmatch(name)]:
                raise FeatureError(f"{label} yields {bad[0]!r}; a name has lower-case letters, digits and underscores")
            if twice := [name for at, name in enumerate(names) if name in taken or name in names[:at]]:
                raise FeatureError(f"{label} yields {twice[0]!r}, which is the name of another feature")
            taken.update(names)
            found[label] = names
        return found

    @cached_property
    def extra_names(self) -> tuple[str, ...]:
        """Columns of families of other packages."""
        return tuple(name for names in self.families.values() for name in names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return (*self.candle_names, *self.calendar_names, *self.extra_names)

    @cached_property
    def other_markets(self) -> tuple[str, ...]:
        """Symbols of the markets that families read beside a row's own."""
        return tuple(sorted({symbol for family in self.extra for symbol in markets_of(family)}))

    def markets_read(self, positions: Sequence[int] | None) -> tuple[str, ...]:
        """Other markets that some columns depend on; None stands for all columns."""
        return tuple(sorted({symbol for family in self._reading(positions) for symbol in markets_of(family)}))

    @cached_property
    def further_columns(self) -> tuple[str, ...]:
        """Further columns of candles that families read, in the order of `FURTHER_COLUMNS`."""
        read = {name for family in self.extra for name in columns_of(family)}
        return tuple(name for name in FURTHER_COLUMNS if name in read)

    def columns_read(self, positions: Sequence[int] | None) -> tuple[str, ...]:
        """Further columns of candles that some columns depend on; None stands for all columns."""
        return tuple(sorted({name for family in self._reading(positions) for name in columns_of(family)}))

    def _reading(self, positions: Sequence[int] | None) -> list[Family]:
        """Families of other packages that yield some of the columns."""
        names = set(self.names if positions is None else (self.names[at] for at in positions))
        return [family for family in self.extra if names & set(self.families[dotted_name(family)])]

    @cached_property
    def definitions(self) -> dict[str, str]:
        """Definition of every column of another package: its family and a SHA-256 of what it computes."""
        labels = {dotted_name(family): f"{dotted_name(family)} {definition_of(family)}" for family in self.extra}
        return {name: labels[family] for family, names in self.families.items() for name in names}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all names and definitions."""
        return columns_digest(self.names, self.definitions)

    def positions(self, names: Sequence[str], definitions: Mapping[str, str]) -> tuple[int, ...]:
        """Columns of this set that a version reads.

        Parameters
        ----------
        names : sequence of str
            Its columns, in its order.
        definitions : mapping of str to str
            Those of its columns that belong to other packages.

        Raises
        ------
        FeatureError
            If a column is missing, or is defined otherwise here, by name.
        """
        own = {name: at for at, name in enumerate(self.names)}
        if missing := [name for name in names if name not in own]:
            origins = sorted({definitions[name].split()[0] for name in missing if name in definitions})
            hint = f"; add {', '.join(origins)} to EXTRA_FEATURES" if origins else ""
            if set(missing) <= set(FeatureSet(day_ahead=True).names):
                hint = f"; write a horizon above {families.LONGEST_WITHOUT_DAY_AHEAD} into DEFAULT_HORIZONS"
            raise FeatureError(f"it reads {_listed(missing)}, which this installation does not compute{hint}")
        if changed := [name for name in names if definitions.get(name) != self.definitions.get(name)]:
            raise FeatureError(
                f"it reads {_listed(changed)}, which this installation defines otherwise than when it was trained"
            )
        return tuple(own[name] for name in names)


def columns_digest(names: Sequence[str], definitions: Mapping[str, str]) -> str:
    """SHA-256 of columns in order, with the definitions of those of other packages."""
    columns = [f"{name} {definitions[name]}" if name in definitions else name for name in names]
    return hashlib.sha256("\n".join([DEFINITION, str(WARMUP), *columns]).encode()).hexdigest()


def markets_of(family: Family) -> tuple[str, ...]:
    """Markets a family declares to read beside the row's own."""
    return tuple(getattr(family, "markets", ()))


def columns_of(family: Family) -> tuple[str, ...]:
    """Further columns of candles a family declares to read."""
    return tuple(getattr(family, "columns", ()))


def dotted_name(family: Family) -> str:
    """Module and name of a family."""
    return f"{family.__module__}.{family.__qualname__}"


def definition_of(family: Family) -> str:
    """SHA-256 of what a family computes.

    Of its attribute `definition`, if it has one; else of its source and of all that it uses of its own package:
    functions, classes and constants. Other families of the same module do not count.
    """
    declared = getattr(family, "definition", None)
    if declared is not None:
        return hashlib.sha256(str(declared).encode()).hexdigest()
    pieces: dict[str, str] = {"markets": repr(markets_of(family))}
    if columns_of(family):  # so that families without any keep the definition of before
        pieces["columns"] = repr(columns_of(family))
    _collect(family, family.__module__.partition(".")[0], pieces)
    return hashlib.sha256("\n".join(f"{name}\n{pieces[name]}" for name in sorted(pieces)).encode()).hexdigest()


def _collect(part: object, package: str, pieces: dict[str, str]) -> None:
    """Add the source of a function or class, and of all it uses of its package."""
    label = f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', '')}"
    if label in pieces:
        return
    try:
        pieces[label] = inspect.getsource(part)  # type: ignore[arg-type]
    except (OSError, TypeError) as error:
        raise FeatureError(f"{label} has no source; give the family an attribute `definition`") from error
    functions = [part] if isinstance(part, FunctionType) else [f for f in vars(part).values() if inspect.isfunction(f)]
    for function in functions:
        for name in sorted(_names_of(function.__code__)):
            if name in function.__globals__:
                _collect_global(function.__globals__[name], f"{function.__module__}.{name}", package, pieces)


def _collect_global(used: object, label: str, package: str, pieces: dict[str, str]) -> None:
    if isinstance(used, FunctionType | type):
        if used.__module__.partition(".")[0] == package:
            _collect(used, package, pieces)
    elif not isinstance(used, ModuleType) and isinstance(used, bool | int | float | str | tuple | frozenset):
        pieces[label] = repr(sorted(used, key=repr) if isinstance(used, frozenset) else used)


def _names_of(code: object) -> set[str]:
    """Global names a code object and those inside it may use."""
    found = set(getattr(code, "co_names", ()))
    for constant in getattr(code, "co_consts", ()):
        if hasattr(constant, "co_names"):
            found |= _names_of(constant)
    return found


def _blank_window(markets: Sequence[str] = (), further: Sequence[str] = ()) -> Window:
    candle = np.ones((len(CANDLE_COLUMNS), 1, 1))
    own = np.ones((len(CANDLE_COLUMNS) + len(further), 1, 1))
    return Stream(1, markets, further).feed(own, dict.fromkeys(markets, candle))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def features_for(horizons: Sequence[int]) -> FeatureSet:
    """Our own features for a training of these horizons.

    Examples
    --------
    >>> features_for((6, 72)).day_ahead, features_for((12, 288)).day_ahead
    (False, True)
    """
    return FeatureSet(day_ahead=max(horizons) > families.LONGEST_WITHOUT_DAY_AHEAD)


def find_families(dotted: Sequence[str], *, day_ahead: bool = False) -> FeatureSet:
    """Set of our families and those with these dotted names.

    Raises
    ------
    FeatureError
        If one cannot be imported, is not a function or does not compute features.
    """
    found: list[Family] = []
    for name in dotted:
        module, _, attribute = name.rpartition(".")
        try:
            family = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise FeatureError(f"{name} cannot be imported: {error}") from error
        if not callable(family):
            raise FeatureError(f"{name} is no function of a window")
        found.append(family)
    whole = FeatureSet(tuple(found), day_ahead)
    _ = whole.digest  # computes names and definitions, so that what is wrong is known now
    return whole


_installed = FeatureSet()


def install(features: FeatureSet) -> None:
    """Make a set the one that this process computes; called once, at start."""
    global _installed  # noqa: PLW0603
    _installed = features


def installed() -> FeatureSet:
    """The set that this process computes."""
    return _installed
