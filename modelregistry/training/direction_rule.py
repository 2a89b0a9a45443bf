"""Does knowing the side add anything to knowing that a barrier will be touched? Only the folds may say so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.evaluation import metrics
from modelregistry.evaluation.paired import compare
from modelregistry.training.dataset import Dataset
from modelregistry.training.outcomes import direction_labels

FOLDS_NEEDED = 2
"""Folds whose gain must have a lower bound above 0; fewer folds than that never prove a direction."""


def gain_of_direction(classifier: SignalClassifier, test: Dataset, costs: float) -> dict[str, float]:
    """Brier score saved on test rows over giving both sides half the chance of a touch.

    Returns
    -------
    dict
        `gain`, `error` and `lower` bound in percent of the score without direction.
    """
    rows = test.take(np.flatnonzero(test.answerable))
    labels = direction_labels(rows, classifier.horizon, costs)
    known = np.flatnonzero(labels >= 0)
    rows, happened = rows.take(known), np.eye(3)[labels[known]]
    with_side, without = (
        metrics.brier(replace(classifier, directional=flag).predict(rows.features), happened) for flag in (True, False)
    )
    found = compare(with_side, without, rows.open_time, classifier.horizon, rows.stride)
    share = 100 / float(without.mean())
    return {"gain": share * found.mean, "error": share * found.error, "lower": share * found.lower}


def judge_direction(folds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Say whether direction enters, for the report.

    Examples
    --------
    >>> sure, unsure = {"gain": 1.0, "error": 0.2, "lower": 0.6}, {"gain": 0.1, "error": 0.2, "lower": -0.3}
    >>> judge_direction([sure, unsure, sure])["enters"], judge_direction([unsure, sure, unsure])["enters"]
    (True, False)
    >>> judge_direction([unsure, unsure, unsure])["words"]
    'the side is a constant: over half the chance of a touch it gains surely in 0 of 3 folds, 2 are needed'
    """
    proved = sum(fold["lower"] > 0 for fold in folds)
    enters = proved >= FOLDS_NEEDED
    beginning = "the side enters" if enters else "the side is a constant"
    words = f"{beginning}: over half the chance of a touch it gains surely in {proved} of {len(folds)} folds"
    return {"enters": enters, "folds": list(folds), "words": words + ("" if enters else f", {FOLDS_NEEDED} are needed")}
