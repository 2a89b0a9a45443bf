"""Settings of the trials in the ledger, for a training with the settings of one of them."""

import logging
from dataclasses import asdict

from indicators.features import installed
from modelregistry.errors import TrainingError
from modelregistry.models import TrainingTrial
from modelregistry.training.fit.settings import Configuration, TrialSettings

HOW_TO_LIST = "list the trials with `manage.py list_models --trials`"
logger = logging.getLogger(__name__)


def settings_of(trial_id: int, source: str) -> TrialSettings:
    """Settings of a scored trial of a search, or of the trial that a training run took its settings from.

    Raises
    ------
    TrainingError
        If there is no such trial, or it has no settings of its own.
    """
    trial = TrainingTrial.objects.filter(pk=trial_id).first()
    if trial is None:
        raise TrainingError(f"the ledger has no trial {trial_id}; {HOW_TO_LIST}")
    if trial.source != source:
        raise TrainingError(
            f"trial {trial_id} was scored on {trial.source} candles, not on {source} ones; {HOW_TO_LIST}"
        )
    if trial.failure:
        raise TrainingError(f"trial {trial_id} has no score: {trial.failure}; {HOW_TO_LIST}")
    run = trial.configuration.get("hyperparameters") or {}
    if "trial" in run:
        return settings_of(run["trial"], source)
    if trial.origin != TrainingTrial.Origin.SEARCH:
        raise TrainingError(f"trial {trial_id} is a training run, which has no settings of its own; {HOW_TO_LIST}")
    if trial.configuration.get("feature_hash") != installed().digest:
        logger.warning("trial %s was scored with other features than the installed ones", trial_id)
    return TrialSettings(trial.pk, Configuration.from_trial(trial.configuration))


def listed_settings(trial: TrainingTrial) -> dict[str, float]:
    """Settings that a trial tried; none for a training run with the settings in use."""
    tried = trial.configuration.get("hyperparameters") or trial.configuration
    if trial.origin != TrainingTrial.Origin.SEARCH and "trial" not in tried:
        return {}
    values = {**tried, "rounds": tried["marks"][0]} if "marks" in tried else tried
    return asdict(Configuration.from_trial(values))
