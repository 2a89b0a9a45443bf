"""Readers of external text take time linear in its length, by construction and by measurement."""

import re
from re import _constants as codes
from re import _parser as grammar

import pytest

from benchmarks import hostile_text

OWN_TEXT = {"mlengine_project/http/schema.py"}
"""Patterns applied only to paths and docstrings of this package."""
LARGEST_BOUND = 4096
PATTERNS = hostile_text.literal_patterns()


def unbounded(parsed):
    """Quantifiers without a bound, and bounded ones inside another of more than one repetition."""
    for code, argument in parsed:
        if code in {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}:
            _, most, inner = argument
            if most is codes.MAXREPEAT or int(most) > LARGEST_BOUND:
                yield int(most)
            yield from unbounded(inner)
        elif code is codes.SUBPATTERN:
            yield from unbounded(argument[-1])
        elif code is codes.BRANCH:
            for branch in argument[1]:
                yield from unbounded(branch)
        elif code in {codes.ASSERT, codes.ASSERT_NOT}:
            yield from unbounded(argument[1])


def test_the_search_for_patterns_finds_them():
    places = {place.rpartition(":")[0] for place, _, _ in PATTERNS}
    assert {
        "mlengine_project/operations/logs/redaction.py",
        "marketdata/exchange/client.py",
        "marketdata/exchange/parsing.py",
    } <= places
    assert list(unbounded(grammar.parse("a*"))) != []
    assert list(unbounded(grammar.parse("(?:b|a{2,})c"))) != []


@pytest.mark.parametrize(("place", "pattern"), [(place, pattern) for place, pattern, _ in PATTERNS])
def test_every_quantifier_of_a_pattern_has_a_bound(place, pattern):
    if place.rpartition(":")[0] not in OWN_TEXT:
        assert list(unbounded(grammar.parse(pattern))) == []


READERS = {**hostile_text.pattern_readers(), **hostile_text.function_readers()}


def growth(read):
    """Ratio of times for a text eight times as long, from measurements of some milliseconds."""
    seconds = hostile_text.worst(read, (8192, 65_536), repeats=3)
    return seconds[65_536] / max(seconds[8192], 5e-4)


@pytest.mark.parametrize("name", READERS)
def test_time_is_linear_in_the_length_of_the_text(name):
    least = growth(READERS[name])
    if least > 24:  # measurement noise; quadratic growth would show every time
        least = growth(READERS[name])
    assert least <= 24, f"{name} takes {least:.0f} times as long; 8 is linear, 64 is quadratic"


def test_a_pattern_that_is_quadratic_is_noticed():
    before = re.compile(r"(?P<scheme>[a-z][a-z0-9+]*://[^\s:/@]*:)[^\s@/]+(?=@)")
    seconds = hostile_text.worst(lambda text: before.sub("", text), (1024, 8192), repeats=1)
    assert seconds[8192] / seconds[1024] > 24
