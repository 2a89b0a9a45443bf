"""Admin of what was predicted, silently predicted, and sealed: all of it only read."""

from django.contrib import admin
from unfold.decorators import display

from marketdata.admin_pages import LargeLogAdmin, ReadOnlyAdmin, plain
from modelregistry.admin import ModelVersionAdmin
from modelregistry.models import ModelVersion
from modelregistry.report_tables import Table, champion_table
from predictions.challenger_scores import silent_comparison
from predictions.models import ChainCut, ChainHead, ChallengerLog, PredictionLog
from predictions.reasons import WORDS

admin.site.unregister(ModelVersion)
STATES = {"late": "warning", "degraded": "warning", "final": "success", "scored": "info"}


@admin.register(PredictionLog)
class PredictionLogAdmin(LargeLogAdmin):
    """What the champions said, and what then happened."""

    list_display = [
        "symbol",
        "span",
        "candle_time",
        "price",
        "said",
        "happened",
        "mae",
        "state",
    ]
    list_filter = ["symbol", "horizon", "degraded", "late", "outcome_final", "simulated"]
    fieldsets = [
        (None, {"fields": ["id", "symbol", "horizon", "candle_time", "made_at", "valid_until", "late", "simulated"]}),
        ("Said", {"fields": ["current_price", "predicted_high", "predicted_low", "high_quantiles", "low_quantiles"]}),
        ("Trust", {"fields": ["degraded", "reasons", "reason_details", "coverage", "data_age_seconds"]}),
        ("Happened", {"fields": ["actual_high", "actual_low", "mae", "outcome_final", "outcome_at"]}),
        ("Origin", {"fields": ["model_versions", "ensemble", "chain_index", "seal", "previous_seal", "created_at"]}),
    ]

    @display(description="Horizon", ordering="horizon")
    def span(self, row: PredictionLog) -> str:
        """Horizon in candles and minutes."""
        return f"{row.horizon} ({row.horizon * 5} min)"

    @display(description="Price")
    def price(self, row: PredictionLog) -> str:
        """The candle's close."""
        return plain(row.current_price)

    @display(description="Predicted low – high")
    def said(self, row: PredictionLog) -> str:
        """The medians."""
        return f"{plain(row.predicted_low)} – {plain(row.predicted_high)}"

    @display(description="Actual low – high")
    def happened(self, row: PredictionLog) -> str:
        """What the market did, once due."""
        return "–" if row.actual_low is None else f"{plain(row.actual_low)} – {plain(row.actual_high)}"

    @display(description="State", label=STATES)
    def state(self, row: PredictionLog) -> str:
        """The one word an operator looks for."""
        if row.late:
            return "late"
        if row.degraded:
            return "degraded"
        if row.outcome_final:
            return "final"
        return "scored" if row.mae is not None else "open"


@admin.register(ModelVersion)
class ComparedVersionAdmin(ModelVersionAdmin):
    """A version's page, with what a candidate has said silently since it was trained."""

    def silent_table(self, version: ModelVersion) -> Table | None:
        """Nothing for a version that nobody asks."""
        if version.stage != ModelVersion.Stage.CANDIDATE:
            return None
        return champion_table(silent_comparison(version))


@admin.register(ChallengerLog)
class ChallengerLogAdmin(LargeLogAdmin):
    """What candidates would have said, beside the champion."""

    list_display = ["version", "market", "horizon", "candle_time", "loss", "champion", "champion_loss"]
    list_filter = ["market", "horizon"]
    list_select_related = ["version", "champion", "market"]
    ordering = ["-id"]


@admin.register(ChainHead)
class ChainHeadAdmin(ReadOnlyAdmin):
    """The newest seal of every chain."""

    list_display = ["market", "log", "index", "seal"]
    list_filter = ["log"]
    list_select_related = ["market"]


@admin.register(ChainCut)
class ChainCutAdmin(ReadOnlyAdmin):
    """Stretches of a chain that live in files."""

    list_display = ["market", "log", "first_index", "index", "file", "written_at"]
    list_filter = ["log", "market"]
    list_select_related = ["market"]


def in_words(codes: list[str]) -> str:
    """Reason codes as a sentence."""
    said = "; ".join(WORDS.get(code, code) for code in codes)
    return said[:1].upper() + said[1:]
