"""Skill of a version in words."""

from mlengine_project.console.versions.skill import skill_of

CELL = {"best_baseline": "har", "skill": 4.0, "skill_error": 1.0, "effective_n": 412.0}


def test_skill_is_muted_until_interval_and_days_are_enough():
    report = {"skill": 0.04, "test_days": 60, "cells": [CELL, {**CELL, "best_baseline": "ewm"}]}
    assert skill_of("range_predictor", report).text == "+4.00 % ± 1.96 against the best reference baseline, 60 days"
    assert skill_of("range_predictor", report).tone == "better"
    assert skill_of("range_predictor", {**report, "test_days": 10}).tone == "unsure"
    assert skill_of("range_predictor", {**report, "skill": 0.01}).tone == "unsure"
    assert skill_of("range_predictor", {**report, "skill": -0.04}).tone == "worse"


def test_skill_without_error_or_days_says_so():
    report = {"skill": 0.04, "cells": [{**CELL, "skill_error": None}]}
    text = skill_of("tpsl_classifier", report)
    assert text.text == "+4.00 %, interval unknown, against the base rate, 412 independent outcomes"
    assert text.tone == "unsure"
    assert skill_of("tpsl_classifier", {}).text == "No skill against the base rate is known yet"
