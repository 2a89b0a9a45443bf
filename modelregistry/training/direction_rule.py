"""Rule that uses the side only if it has skill in walk-forward tests."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelregistry.dataset.outcomes import direction_labels
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.significance.paired import compare

FOLDS_NEEDED = 2
"""Folds whose gain must have a lower bound above 0; with fewer folds the side is never used."""


def gain_of_direction(classifier: SignalClassifier, test: Dataset, costs: float) -> dict[str, float]:
    """Improvement of the Brier score on test rows over equal shares of the touch probability.

    Returns
    -------
    dict
        `gain`, `error` and `lower` bound in percent of the score without direction.
    """
    rows = test.take(np.flatnonzero(test.has_features))
    labels = direction_labels(rows, classifier.horizon, costs)
    known = np.flatnonzero(labels >= 0)
    rows, happened = rows.take(known), np.eye(3)[labels[known]]
    with_side, without = (
        scores.brier(replace(classifier, directional=flag).predict(rows.features), happened) for flag in (True, False)
    )
    found = compare(with_side, without, rows.open_time, classifier.horizon, rows.stride)
    share = 100 / float(without.mean())
    return {"gain": share * found.mean, "error": share * found.error, "lower": share * found.lower}


def side_verdict(folds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Decide whether the side is used; the result is part of the report.

    Examples
    --------
    >>> clear, unclear = {"gain": 1.0, "error": 0.2, "lower": 0.6}, {"gain": 0.1, "error": 0.2, "lower": -0.3}
    >>> side_verdict([clear, unclear, clear])["enters"], side_verdict([unclear, clear, unclear])["enters"]
    (True, False)
    >>> side_verdict([unclear, unclear, unclear])["words"]
    'the side is a constant: its gain over equal shares is significant in 0 of 3 folds, 2 are needed'
    """
    proved = sum(fold["lower"] > 0 for fold in folds)
    enters = proved >= FOLDS_NEEDED
    beginning = "the side is used" if enters else "the side is a constant"
    words = f"{beginning}: its gain over equal shares is significant in {proved} of {len(folds)} folds"
    return {"enters": enters, "folds": list(folds), "words": words + ("" if enters else f", {FOLDS_NEEDED} are needed")}
