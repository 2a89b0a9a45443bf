"""Skill of a version as pages write it, from the parts of its report that hold it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.db.models import F, QuerySet
from django.utils.translation import gettext

from mlengine_project.console.versions.range_charts import BASELINES
from mlengine_project.console.wording import SkillText, skill_sentence
from modelregistry.evaluation.significance.paired import Z_95
from modelregistry.models import Kind, ModelVersion

PARTS = ("skill", "cells", "test_days")
"""Parts of a report that its skill is written from; the rest may be megabytes."""


def with_skill_parts(versions: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """Versions with :data:`PARTS` of their reports instead of the whole."""
    return versions.defer("report").annotate(**{f"report_{name}": F(f"report__{name}") for name in PARTS})


def skill_parts(version: ModelVersion) -> dict[str, Any]:
    """The parts of a version read by :func:`with_skill_parts`."""
    return {name: getattr(version, f"report_{name}") for name in PARTS}


def skill_of(kind: str, report: Mapping[str, Any]) -> SkillText:
    """Mean skill over cells, with its 95 % interval, baseline and days of walk-forward tests.

    Cells share their candles, so the error of their mean is their mean error, as the gate has it.

    Examples
    --------
    >>> cell = {"best_baseline": "har", "skill": 0.9, "skill_error": 0.77}
    >>> skill_of("range_predictor", {"skill": 0.009, "test_days": 10, "cells": [cell, cell]}).text
    '+0.90 % ± 1.51 against HAR, 10 days'
    """
    cells = report.get("cells") or []
    errors = [cell["skill_error"] for cell in cells if cell.get("skill_error") is not None]
    half_width = Z_95 * sum(errors) / len(errors) / 100 if errors and len(errors) == len(cells) else None
    skill = report.get("skill")
    days = report.get("test_days")
    if days is None:
        counts = [cell["effective_n"] for cell in cells if cell.get("effective_n") is not None]
        return skill_sentence(skill, half_width, against(kind, cells), round(min(counts, default=0)))
    return skill_sentence(skill, half_width, against(kind, cells), int(days), "days")


def against(kind: str, cells: list[dict[str, Any]]) -> str:
    """Name of the baseline a skill is against: the best one of most cells, or the base rate."""
    if kind != Kind.RANGE:
        return gettext("the base rate")
    best = Counter(str(cell["best_baseline"]) for cell in cells if cell.get("best_baseline"))
    if len(best) == 1:
        (name,) = best
        return gettext(BASELINES.get(name, name))
    return gettext("the best reference baseline")
