"""Model versions, the append-only promotion log and the trial ledger."""

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from marketdata.models import Source


class Kind(models.TextChoices):
    """The three estimators of the ensemble."""

    RANGE = "range_predictor", "Range predictor"
    TPSL = "tpsl_classifier", "TP/SL classifier"
    SIGNAL = "signal_classifier", "Signal classifier"


class ModelVersion(models.Model):
    """One trained estimator of one kind, identified by the digest of its artifact."""

    class Stage(models.TextChoices):
        """Stage of a version in its life cycle."""

        CANDIDATE = "candidate", "Candidate"
        CHAMPION = "champion", "Champion"
        RETIRED = "retired", "Retired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    source = models.CharField(
        max_length=10, choices=Source.choices, help_text="Source of its candles; it is used for this source only."
    )
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.CANDIDATE)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the canonical manifest; names the artifact folder.")
    symbols = models.JSONField(help_text="Symbols in its training set.")
    horizons = models.JSONField(help_text="Forecast horizons, in candles.")
    feature_hash = models.CharField(max_length=64)
    trained_from = models.DateTimeField(help_text="Open time of the first candle used.")
    trained_until = models.DateTimeField(help_text="No candle at or after this time was used, labels included.")
    row_count = models.PositiveIntegerField()
    seed = models.IntegerField()
    hyperparameters = models.JSONField(default=dict)
    libraries = models.JSONField(default=dict)
    report = models.JSONField(default=dict, help_text="Out-of-sample metrics beside the baselines.")
    gate_accepted = models.BooleanField(default=False)
    gate_reasons = models.JSONField(default=list)
    refresh_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="refreshes",
        help_text="Champion that it may replace as a refresh: same recipe, newer candles, not worse.",
    )
    unproven = models.BooleanField(default=False, help_text="Bootstrap champion that the gate did not accept.")
    training_seconds = models.FloatField(null=True, blank=True)
    files_removed_at = models.DateTimeField(
        null=True, blank=True, help_text="When its files were removed; empty while they exist. Row and report stay."
    )
    files_removed_reason = models.CharField(
        max_length=200, blank=True, db_default="", default="", help_text="Why retention removed the files."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """At most one champion per kind and source."""

        db_table = "model_versions"
        ordering: ClassVar = ["-created_at"]
        permissions: ClassVar = [("promote_modelversion", "Can promote and roll back model versions")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "source"], condition=Q(stage="champion"), name="one_champion_per_kind_and_source"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.digest[:12]} ({self.source})"

    @property
    def files_kept(self) -> bool:
        """Whether its files exist; without them only the report is left."""
        return self.files_removed_at is None


class AppendOnly(models.Model):
    """A log whose rows are inserted and never changed or deleted."""

    class Meta:
        """No table of its own."""

        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert only: an existing row raises TypeError."""
        if not self._state.adding:
            raise TypeError(f"the {self._meta.verbose_name} is append-only")
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: the log is append-only."""
        raise TypeError(f"the {self._meta.verbose_name} is append-only")


class PromotionEvent(AppendOnly):
    """One change of champion: actor, time, versions and reason. Append-only."""

    class Action(models.TextChoices):
        """Kind of the change."""

        BOOTSTRAP = "bootstrap", "Bootstrap"
        PROMOTE = "promote", "Promotion"
        REFRESH = "refresh", "Refresh"
        ROLLBACK = "rollback", "Rollback"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    source = models.CharField(max_length=10, choices=Source.choices)
    action = models.CharField(max_length=10, choices=Action.choices)
    from_version = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="retirements"
    )
    to_version = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="promotions"
    )
    undoes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="undone_by", help_text="For a rollback."
    )
    actor = models.CharField(max_length=150, help_text="User name, key name or command.")
    reason = models.TextField()
    gate_accepted = models.BooleanField(default=False)
    gate_reasons = models.JSONField(default=list)
    override = models.BooleanField(default=False, help_text="Promoted against the gate's verdict.")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        db_table = "promotion_events"
        ordering: ClassVar = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.at:%Y-%m-%d %H:%M}"


class VersionComparison(models.Model):
    """Comparison of two versions on candles outside both trainings; repeated, it renews its result."""

    first = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="comparisons_as_first")
    second = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="comparisons_as_second")
    compared_from = models.DateTimeField(help_text="Open time of the first candle scored.")
    compared_until = models.DateTimeField(help_text="Exclusive, labels included.")
    symbols = models.JSONField(help_text="Symbols of the markets scored, sorted.")
    stride = models.PositiveIntegerField(help_text="Candles between scored rows.")
    result = models.JSONField(help_text="Gains of the first version, as `compare_models --json` prints them.")
    actor = models.CharField(max_length=150, help_text="User who compared last.")
    at = models.DateTimeField(auto_now=True)

    class Meta:
        """One row for each question; newest first."""

        db_table = "version_comparisons"
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["first", "second", "compared_from", "compared_until", "symbols", "stride"],
                name="one_row_per_comparison",
            )
        ]

    def __str__(self) -> str:
        return f"{self.first} and {self.second}, {self.compared_from:%Y-%m-%d} to {self.compared_until:%Y-%m-%d}"


class TrainingTrial(AppendOnly):
    """One configuration tried by a training run or a search. Append-only.

    All trials are counted, so that the best score can be corrected for selection bias.
    """

    class Origin(models.TextChoices):
        """Process that tried the configuration."""

        RUN = "run", "Training run"
        SEARCH = "search", "Search"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    source = models.CharField(max_length=10, choices=Source.choices)
    origin = models.CharField(max_length=10, choices=Origin.choices)
    study = models.CharField(max_length=100, blank=True, help_text="The search it belongs to; empty for a run.")
    configuration = models.JSONField(help_text="Configuration with its seed.")
    configuration_digest = models.CharField(max_length=64, help_text="SHA-256 of the canonical configuration.")
    symbols = models.JSONField(default=list)
    tested_from = models.DateTimeField(null=True, blank=True, help_text="First row of the first fold.")
    tested_until = models.DateTimeField(null=True, blank=True, help_text="Last row of the last fold.")
    score = models.FloatField(null=True, blank=True, help_text="1 - loss / best baseline loss; empty for a failure.")
    fold_scores = models.JSONField(default=list, help_text="Score by fold, oldest first.")
    period_scores = models.JSONField(default=dict, help_text="Gain over the baseline by day (UTC), if stored.")
    version = models.ForeignKey(
        ModelVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="trials",
        help_text="Version of a successful run.",
    )
    failure = models.CharField(max_length=300, blank=True, help_text="Error of a failed or cancelled trial.")
    actor = models.CharField(max_length=150, help_text="User name or command.")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        db_table = "training_trials"
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [models.Index(fields=["kind", "source", "study"], name="trial_kind_source_study")]

    def __str__(self) -> str:
        return f"{self.origin} {self.kind} {self.configuration_digest[:12]}"
