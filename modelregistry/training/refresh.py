"""Refresh rule: a version of the champion's recipe, trained on newer candles, that is not worse than it.

A refresh is no claim of a better version. It replaces a champion before its age makes its answers expire, where a
retraining without changes cannot be surely better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelregistry.evaluation.reports.champion_comparison import ENOUGH_DAYS
from modelregistry.training.gate import Report, Verdict, too_short
from modelregistry.training.kinds import TRAINING_KINDS

NOT_RECIPE = frozenset(
    {
        *("stride", "folds", "test_days", "threads"),
        *("rounds", "touch_rounds", "out_of_fold_accuracy", "mean_uniqueness", "independent_labels"),
        *("lower_bound_of_touch_gain", "lower_bound_of_gain", "lower_bound_of_gain_with_uniqueness_weights"),
    }
)
"""Hyper-parameters that follow from the candles: sizes of the run, and values a fit selects or measures."""


@dataclass(frozen=True)
class Recipe:
    """What a version was trained with and on.

    Parameters
    ----------
    feature_hash : str
        Of the names and definitions of its features.
    horizons, symbols : tuple
    hyperparameters : mapping
        With the name of an estimator of another package, and the settings of a trial, if there is one.
    trained_until_ms : int
        End of its candles.
    """

    feature_hash: str
    horizons: tuple[int, ...]
    symbols: tuple[str, ...]
    hyperparameters: Mapping[str, Any]
    trained_until_ms: int

    @property
    def settings(self) -> dict[str, Any]:
        """Hyper-parameters that do not follow from the candles."""
        return {name: value for name, value in self.hyperparameters.items() if name not in NOT_RECIPE}


def refresh_verdict(kind: str, candidate: Recipe, champion: Recipe, report: Report, margin: float) -> Verdict:
    """Verdict on a candidate as a refresh of the champion.

    Parameters
    ----------
    kind : str
    candidate, champion : Recipe
    report : mapping
        Of the candidate's walk-forward tests, with its `versus_champion` if both could be compared.
    margin : float
        Accepted increase of the loss, in percent of the champion's.
    """
    reasons = [
        *_recipe_reasons(candidate, champion),
        *too_short(report),
        *TRAINING_KINDS[kind].calibration(report),
        *_loss_reasons(report.get("versus_champion"), margin),
    ]
    return Verdict(not reasons, reasons)


def _recipe_reasons(candidate: Recipe, champion: Recipe) -> list[str]:
    reasons = []
    if candidate.trained_until_ms <= champion.trained_until_ms:
        own, theirs = (
            f"{datetime.fromtimestamp(one.trained_until_ms / 1000, UTC):%Y-%m-%d %H:%M}"
            for one in (candidate, champion)
        )
        reasons.append(f"its candles end at {own}, not after those of the champion ({theirs})")
    if candidate.feature_hash != champion.feature_hash:
        reasons.append("its features are not those of the champion")
    if candidate.horizons != champion.horizons:
        own, theirs = (", ".join(map(str, one.horizons)) for one in (candidate, champion))
        reasons.append(f"its horizons are {own}, those of the champion {theirs}")
    if lost := sorted(set(champion.symbols) - set(candidate.symbols)):
        reasons.append(f"it was trained without {', '.join(lost)}, which the champion covers")
    own_settings, settings = candidate.settings, champion.settings
    names = sorted(own_settings.keys() | settings.keys())
    if other := [name for name in names if own_settings.get(name) != settings.get(name)]:
        reasons.append(f"its settings are not those of the champion: {', '.join(other)}")
    return reasons


def _loss_reasons(versus: Report | None, margin: float) -> list[str]:
    if versus is None:
        return ["there is no candle on which it could be compared with the champion"]
    if versus["evidence"] != "later candles":
        return [f"not enough candles since the training of the champion: {versus['later_days']} of {ENOUGH_DAYS} days"]
    mean, upper, days = (versus[name] for name in ("increase", "increase_upper", "days"))
    if upper <= margin:
        return []
    bound = f"its loss may be up to {upper:.2f} % above that of the champion on {days} days (mean {mean:+.2f} %)"
    return [f"{bound}, more than the margin of {margin:g} %"]
