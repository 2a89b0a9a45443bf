"""Rule that keeps the online correction only if it costs little loss in walk-forward tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelregistry.evaluation.reports.correction import MAX_LOSS_PERCENT


def correction_verdict(horizons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Decide whether a version keeps its correction; the result is part of the report.

    Parameters
    ----------
    horizons : sequence of mapping
        Rows of :func:`~modelregistry.evaluation.reports.correction.correction_report` on the walk-forward tests.

    Examples
    --------
    >>> cheap, costly = ({"horizon": h, "loss_change": lost} for h, lost in ((6, 0.1), (72, 0.45)))
    >>> correction_verdict([cheap])["kept"], correction_verdict([cheap, costly])["kept"]
    (True, False)
    >>> correction_verdict([cheap, costly])["words"]
    'removed: it costs 0.45 % of pinball loss at horizon 72, more than the limit of 0.3 %'
    """
    worst = max(horizons, key=lambda one: one["loss_change"], default=None)
    if worst is None:
        return {"kept": False, "words": "removed: no forecast of the folds measures its cost"}
    # A NaN fails the comparison, so it is not kept.
    kept = all(one["loss_change"] <= MAX_LOSS_PERCENT for one in horizons)
    figure = f"{worst['loss_change']:.2f} % of pinball loss at horizon {worst['horizon']}"
    if kept:
        return {"kept": True, "words": f"kept: it costs {figure} at most, within the limit of {MAX_LOSS_PERCENT:g} %"}
    return {"kept": False, "words": f"removed: it costs {figure}, more than the limit of {MAX_LOSS_PERCENT:g} %"}
