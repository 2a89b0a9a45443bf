"""Kept comparisons of two versions, for the pages of models."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from mlengine_project.console.wording import percent_text
from modelregistry.models import ModelVersion, VersionComparison
from modelregistry.registry.comparisons import comparisons_of

MAX_COMPARISONS = 50


@dataclass(frozen=True)
class Gain:
    """Gain of the first version over the second, in words.

    Parameters
    ----------
    gain, interval, p_value : str
        Share of the second version's loss, its central 95 % interval, and the Diebold-Mariano p-value.
    tone : str
        `better` or `worse` if that is sure, else `unsure`.
    """

    gain: str
    interval: str
    p_value: str
    tone: str


def gain_of(figures: dict[str, Any]) -> Gain:
    """A gain with its interval.

    Examples
    --------
    >>> gain_of({"gain": 0.0042, "lower": 0.001, "upper": 0.0074, "p_value": 0.0104})
    Gain(gain='+0.42 %', interval='+0.10 % to +0.74 %', p_value='0.010', tone='better')
    """
    lower, upper = figures["lower"], figures["upper"]
    ends = {"lower": percent_text(lower, signed=True), "upper": percent_text(upper, signed=True)}
    return Gain(
        percent_text(figures["gain"], signed=True),
        gettext("%(lower)s to %(upper)s") % ends,
        f"{figures['p_value']:.3f}",
        "better" if lower > 0 else "worse" if upper < 0 else "unsure",
    )


def listed(*versions: ModelVersion) -> list[tuple[VersionComparison, Gain]]:
    """Newest comparisons in which every one of these versions takes part."""
    return [(one, gain_of(one.result)) for one in comparisons_of(*versions)[:MAX_COMPARISONS]]


def comparison_context(comparison: VersionComparison) -> dict[str, Any]:
    """Context of the page of one comparison."""
    found = comparison.result
    return {
        "comparison": comparison,
        "sentence": sentence(comparison),
        "rows": list(_rows(found["cells"])),
        "means": list(_rows(found["horizons"])),
    }


def sentence(comparison: VersionComparison) -> str:
    """Which version is better, by how much and how surely."""
    found = comparison.result
    gain = gain_of(found)
    verdicts = {
        "better": gettext("%(first)s is surely better than %(second)s: it loses %(size)s less"),
        "worse": gettext("%(first)s is surely worse than %(second)s: it loses %(size)s more"),
    }
    less = gettext("No sure difference between %(first)s and %(second)s: the first loses %(size)s less")
    more = gettext("No sure difference between %(first)s and %(second)s: the first loses %(size)s more")
    words = verdicts.get(gain.tone, less if found["gain"] >= 0 else more)
    verdict = words % {
        "first": comparison.first.digest[:12],
        "second": comparison.second.digest[:12],
        "size": percent_text(abs(found["gain"])),
    }
    evidence = gettext("95 %% interval of the gain %(interval)s, Diebold-Mariano p = %(p)s, %(days)s days") % {
        "interval": gain.interval,
        "p": gain.p_value,
        "days": found["days"],
    }
    return f"{verdict} ({evidence})."


def _rows(figures: Iterable[dict[str, Any]]) -> Iterable[tuple[dict[str, Any], Gain]]:
    return ((one, gain_of(one)) for one in figures)
