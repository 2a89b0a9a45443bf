"""Is the online correction worth what it costs? It is kept only while the folds say that it is cheap."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelregistry.evaluation.correction_report import MAX_LOSS_PERCENT


def judge_correction(horizons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say whether a version keeps its correction, for the report.

    Parameters
    ----------
    horizons : sequence of mapping
        What :func:`~modelregistry.evaluation.correction_report.correction_report` says of the walk-forward test rows.

    Examples
    --------
    >>> cheap, dear = ({"horizon": h, "loss_change": lost} for h, lost in ((6, 0.1), (72, 0.45)))
    >>> judge_correction([cheap])["kept"], judge_correction([cheap, dear])["kept"]
    (True, False)
    >>> judge_correction([cheap, dear])["words"]
    'left out: it costs 0.45 % of pinball loss at horizon 72, and 0.3 % is the most it may'
    """
    worst = max(horizons, key=lambda one: one["loss_change"], default=None)
    if worst is None:
        return {"kept": False, "words": "left out: no answered row of the folds says what it costs"}
    # Not a number is not cheap either.
    kept = all(one["loss_change"] <= MAX_LOSS_PERCENT for one in horizons)
    figure = f"{worst['loss_change']:.2f} % of pinball loss at horizon {worst['horizon']}"
    if kept:
        return {"kept": True, "words": f"kept: it costs {figure} at most, {MAX_LOSS_PERCENT:g} % is allowed"}
    return {"kept": False, "words": f"left out: it costs {figure}, and {MAX_LOSS_PERCENT:g} % is the most it may"}
