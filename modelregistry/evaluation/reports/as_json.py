"""Published form of a report: every skill as a fraction, and its OpenAPI schema.

Reports are stored as the evaluation wrote them, with the skill of cells, horizons and months in percent for the pages;
this module converts them for JSON.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

PERCENT = 100.0
OTHER_SKILLS = frozenset({"worst_over_first_passage"})
"""Skills whose name does not begin with `skill`."""


def published(report: Mapping[str, Any]) -> dict[str, Any]:
    """Convert every skill of a report to a fraction; the overall skill already is one.

    >>> published({"skill": 0.02, "cells": [{"skill": 2.5, "coverage_80": 79.5}], "detail": {"skill_interval": [-1.0]}})
    {'skill': 0.02, 'cells': [{'skill': 0.025, 'coverage_80': 79.5}], 'detail': {'skill_interval': [-0.01]}}
    """
    found = {name: _converted(name, value) for name, value in report.items()}
    return found | ({"skill": report["skill"]} if "skill" in report else {})


def published_evaluation(found: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the report of each kind in an evaluation with :func:`published`."""
    return {
        name: published(value) if isinstance(value, Mapping) and "cells" in value else value
        for name, value in found.items()
    }


def _converted(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {inner: _converted(inner, item) for inner, item in value.items()}
    if isinstance(value, list):
        return [_converted(name, item) for item in value]
    is_skill = name.startswith("skill") or name in OTHER_SKILLS
    # Rounded to the digits a percentage has after the point, so that 2.3 % is 0.023 and not 0.022999999999999996.
    return round(value / PERCENT, 12) if is_skill and isinstance(value, int | float) else value


def json_ready(value: Any) -> Any:
    """Convert a report to JSON values: plain numbers, None for non-finite ones."""
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


Schema = dict[str, Any]
"""A schema of OpenAPI."""

FIGURE: Schema = {
    "oneOf": [{"type": "number", "nullable": True}, {"type": "string"}, {"type": "boolean"}],
}
NUMBER: Schema = {"type": "number", "nullable": True}
FRACTION: Schema = {**NUMBER, "description": "1 - loss / baseline loss, a fraction."}
NUMBERS: Schema = {"type": "object", "additionalProperties": NUMBER}
FIGURES: Schema = {"type": "object", "additionalProperties": FIGURE}
COLUMNS: Schema = {
    "type": "object",
    "description": "A table: each name is a column, all of one length.",
    "additionalProperties": {"type": "array", "items": FIGURE},
}


def rows(item: Schema, description: str = "") -> Schema:
    """Schema of an array of one item type."""
    return {"type": "array", "items": item, **({"description": description} if description else {})}


def reference(name: str) -> Schema:
    """Reference to a schema component by name."""
    return {"$ref": f"#/components/schemas/{name}"}


CELL: Schema = {
    "type": "object",
    "description": "One market and horizon, and one target or bracket. Shares and coverages in percent.",
    "properties": {
        "symbol": {"type": "string"},
        "horizon": {"type": "integer"},
        "target": {"type": "string", "enum": ["high", "low"]},
        "side": reference("Side"),
        "bracket": {"type": "string", "description": "Take-profit by stop-loss, in deviations."},
        "rows": {"type": "integer"},
        "skill": FRACTION,
        "skill_error": FRACTION,
        "skill_over_ewm": FRACTION,
        "skill_over_first_passage": FRACTION,
        "baselines": {**NUMBERS, "description": "The same loss of each baseline."},
        "baselines_corrected": rows({"type": "string"}),
        "best_baseline": {"type": "string"},
        "shares": NUMBERS,
    },
    "required": ["symbol", "horizon", "rows", "skill"],
    "additionalProperties": FIGURE,
}
SCHEMAS: Schema = {
    "ReportCell": CELL,
    "ReportColumns": COLUMNS,
    "ReportDetail": {
        "type": "object",
        "properties": {
            "cells": rows(
                {
                    "type": "object",
                    "description": "Detailed tables and tests of one cell; fields depend on the kind.",
                    "properties": {
                        "symbol": {"type": "string"},
                        "horizon": {"type": "integer"},
                        "skill_interval": rows(NUMBER, "Of 95 %, fractions."),
                        "terciles": reference("ReportColumns"),
                        "periods": reference("ReportColumns"),
                    },
                    "required": ["symbol", "horizon"],
                }
            ),
            "net": reference("ReportColumns"),
            "daily_gain": {**NUMBERS, "description": "{ISO day: gain}."},
        },
    },
    "ModelReport": {
        "type": "object",
        "description": "Out-of-sample scores of a version beside the baselines; fields depend on its kind.",
        "properties": {
            "skill": {**NUMBER, "description": "1 - loss / best baseline's loss, mean over cells; a fraction."},
            "skill_1x1": FRACTION,
            "worst_over_first_passage": FRACTION,
            "rows": {"type": "integer", "description": "Training rows."},
            "test_days": {"type": "integer"},
            "folds": rows(
                {
                    "type": "object",
                    "properties": {
                        "from_ms": {"type": "integer"},
                        "to_ms": {"type": "integer"},
                        "rows": {"type": "integer"},
                    },
                    "required": ["from_ms", "to_ms"],
                },
                "Walk-forward test periods.",
            ),
            "cells": rows(reference("ReportCell")),
            "horizons": rows(FIGURES, "The same by horizon, with the error of the mean."),
            "coverage": rows(FIGURES, "How many cells and months are within the tolerance of each band."),
            "correction": rows(FIGURES, "Loss and coverage with and without the online correction, by horizon."),
            "strategies": rows(FIGURES, "Simple strategies on the same candles, by fee."),
            "hoped": FIGURES,
            "net": FIGURES,
            "versus_champion": {"oneOf": [FIGURES, {"enum": [None]}], "nullable": True},
            "refresh": {
                "type": "object",
                "description": "Verdict of the refresh rule beside the champion of the training.",
                "properties": {
                    "accepted": {"type": "boolean"},
                    "reasons": rows({"type": "string"}, "Why it is no refresh."),
                    "margin": {**NUMBER, "description": "REFRESH_MARGIN, percent of the champion's loss."},
                },
            },
            "uniqueness": FIGURES,
            "left_out": rows(FIGURES, "Markets excluded from training, with the candles they lack."),
            "detail": reference("ReportDetail"),
        },
    },
    "Hyperparameters": {
        "type": "object",
        "additionalProperties": {
            "oneOf": [
                {"type": "number", "nullable": True},
                {"type": "string"},
                {"type": "boolean"},
                rows({"oneOf": [{"type": "number"}, {"type": "string"}, rows({"type": "number"})]}),
            ]
        },
    },
}
"""Components of the schema."""
