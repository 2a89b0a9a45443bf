"""Read-only admin pages of predictions, challenger forecasts and seal chains."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from marketdata.admin_pages import LargeLogAdmin, NewestFilter, ReadOnlyAdmin, column, plain, significant
from modelregistry.admin import ModelVersionAdmin
from modelregistry.evaluation.reports.tables import Table, champion_table
from modelregistry.models import ModelVersion
from predictions.challengers.scores import silent_comparison
from predictions.models import ChainCut, ChainHead, ChallengerLog, PredictionLog
from predictions.reasons import REASON_TEXTS

admin.site.unregister(ModelVersion)
STATES = {"late": "warning", "degraded": "warning"}


class HorizonFilter(admin.SimpleListFilter):
    """Horizons of the champions, which need no scan of the log."""

    title = "horizon"
    parameter_name = "horizon"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[int, str]]:  # noqa: ARG002
        """The horizons that are served."""
        served = ModelVersion.objects.filter(stage=ModelVersion.Stage.CHAMPION).values_list("horizons", flat=True)
        return [(horizon, _span(horizon)) for horizon in sorted({h for horizons in served for h in horizons})]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:  # noqa: ARG002
        """Rows of the chosen horizon."""
        chosen = self.value() or ""
        return queryset.filter(horizon=int(chosen)) if chosen.isdecimal() and len(chosen) < 9 else queryset


class StateFilter(NewestFilter):
    """States that are rare or of the newest rows."""

    title = "state, newest day"
    parameter_name = "state"
    conditions = {
        "degraded": ("Degraded", Q(degraded=True)),
        "late": ("Late", Q(late=True)),
        "open": ("Without final outcome", Q(outcome_final=False)),
    }


@admin.register(PredictionLog)
class PredictionLogAdmin(LargeLogAdmin):
    """Predictions of the champions and their outcomes."""

    list_display = [
        "symbol",
        "span",
        "candle_time",
        "price",
        "predicted_range",
        "actual_range",
        column("mae", lambda percent: f"{percent:.2f} %", "Mean error"),
        "state",
    ]
    list_filter = [HorizonFilter, StateFilter]
    fieldsets = [
        (None, {"fields": ["id", "symbol", "horizon", "candle_time", "made_at", "valid_until", "late", "simulated"]}),
        (
            "Forecast",
            {"fields": ["current_price", "predicted_high", "predicted_low", "high_quantiles", "low_quantiles"]},
        ),
        ("Quality", {"fields": ["degraded", "reasons", "reason_details", "coverage", "data_age_seconds"]}),
        ("Outcome", {"fields": ["actual_high", "actual_low", "mae", "outcome_final", "outcome_at"]}),
        ("Origin", {"fields": ["model_versions", "ensemble", "chain_index", "seal", "previous_seal", "created_at"]}),
    ]

    @display(description="Horizon", ordering="horizon")
    def span(self, row: PredictionLog) -> str:
        """Horizon in candles and minutes."""
        return _span(row.horizon)

    @display(description="Price")
    def price(self, row: PredictionLog) -> str:
        """Close of the candle."""
        return plain(row.current_price)

    @display(description="Predicted low – high")
    def predicted_range(self, row: PredictionLog) -> str:
        """Predicted medians of the lowest low and the highest high."""
        return f"{plain(row.predicted_low)} – {plain(row.predicted_high)}"

    @display(description="Actual low – high")
    def actual_range(self, row: PredictionLog) -> str:
        """Actual lowest low and highest high; a dash until due."""
        return "–" if row.actual_low is None else f"{plain(row.actual_low)} – {plain(row.actual_high)}"

    @display(description="State", label=STATES)
    def state(self, row: PredictionLog) -> str:
        """State of the row as one word."""
        if row.late:
            return "late"
        if row.degraded:
            return "degraded"
        if row.outcome_final:
            return "final"
        return "scored" if row.mae is not None else "open"


@admin.register(ModelVersion)
class ComparedVersionAdmin(ModelVersionAdmin):
    """Page of a model version, with the comparison of a candidate and the champion."""

    def silent_table(self, version: ModelVersion) -> Table | None:
        """Comparison with the champion; None for a version that is no candidate."""
        if version.stage != ModelVersion.Stage.CANDIDATE:
            return None
        return champion_table(silent_comparison(version))


@admin.register(ChallengerLog)
class ChallengerLogAdmin(LargeLogAdmin):
    """Forecasts of candidates and their losses, beside those of the champion."""

    list_display = [
        "version",
        "market",
        "horizon",
        "candle_time",
        column("loss", significant),
        "champion",
        column("champion_loss", significant),
    ]
    list_filter = ["market", HorizonFilter]
    symbol_lookup = "market__symbol"
    list_select_related = ["version", "champion", "market"]
    ordering = ["-id"]


@admin.register(ChainHead)
class ChainHeadAdmin(ReadOnlyAdmin):
    """Newest seal of every chain."""

    list_display = ["market", "log", "index", "seal"]
    list_filter = ["log"]
    list_select_related = ["market"]


@admin.register(ChainCut)
class ChainCutAdmin(ReadOnlyAdmin):
    """Parts of chains that were archived to files."""

    list_display = ["market", "log", "first_index", "index", "file", "written_at"]
    list_filter = ["log", "market"]
    list_select_related = ["market"]


def _span(horizon: int) -> str:
    """A horizon as time and in candles."""
    hours, minutes = divmod(horizon * 5, 60)
    time = f"{minutes} min" if hours == 0 else f"{hours} h" if minutes == 0 else f"{hours} h {minutes} min"
    return f"{time} ({horizon} candles)"


def reason_sentence(codes: list[str]) -> str:
    """Reason codes as one sentence."""
    sentence = "; ".join(REASON_TEXTS.get(code, code) for code in codes)
    return sentence[:1].upper() + sentence[1:]
