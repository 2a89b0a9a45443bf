"""Admin pages of signal log and outbox (read-only) and of the kill switch."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget

from marketdata.admin_pages import (
    LargeLogAdmin,
    NewestFilter,
    ReadOnlyAdmin,
    ReasonForm,
    age_of,
    column,
    confirm_step,
    cut,
    plain,
    posted,
    row_of,
)
from marketdata.models import Market
from predictions.admin import reason_sentence
from signals import kill_switch
from signals.models import OutboxMessage, SignalLog, SignalSwitch, SymbolSequence

SWITCH_PERMISSION = "signals.change_signalswitch"
OFF = (
    "From the next candle on every signal is a hold with the reason KILL_SWITCH. "
    "Predictions continue; signals already sent do not change."
)
ON = "From the next candle on signals are sent again as the models and rules decide."


class OneMarketForm(ReasonForm):
    """Form for a market and a reason."""

    symbol = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    field_order = ["symbol", "reason"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        enabled = Market.objects.enabled().values_list("symbol", flat=True)
        self.fields["symbol"].choices = [(symbol, symbol) for symbol in enabled]  # type: ignore[attr-defined]


class TypeFilter(NewestFilter):
    """Types of the newest signals."""

    title = "signal, newest 7 days"
    parameter_name = "type"
    days = 7
    conditions = {kind.value: (str(kind.label), Q(signal_type=kind.value)) for kind in SignalLog.Type}


class OutcomeFilter(NewestFilter):
    """Outcomes of the newest signals."""

    title = "outcome, newest 7 days"
    parameter_name = "result"
    days = 7
    conditions = {outcome.value: (str(outcome.label), Q(outcome=outcome.value)) for outcome in SignalLog.Outcome}


@admin.register(SignalLog)
class SignalLogAdmin(LargeLogAdmin):
    """Signals, one per closed candle."""

    list_display = ["symbol", "seq", "candle_time", "decision", "reason", "price", "probability", "expected", "result"]
    list_filter = [TypeFilter, OutcomeFilter]
    fieldsets = [
        (None, {"fields": ["id", "symbol", "seq", "candle_time", "made_at", "valid_until", "simulated"]}),
        ("Signal", {"fields": ["signal_type", "confidence", "horizon", "entry_price", "considered_side"]}),
        ("Bracket", {"fields": ["take_profit", "stop_loss", "p_take_profit", "p_stop_loss", "p_neither"]}),
        ("Value", {"fields": ["p_break_even", "expected_net_return", "fee_rate", "reasons", "reason_details"]}),
        ("Outcome", {"fields": ["outcome", "pnl_percent", "outcome_final", "outcome_at"]}),
        ("Origin", {"fields": ["model_versions", "chain_index", "seal", "previous_seal", "created_at"]}),
    ]

    @display(description="Signal", ordering="signal_type", label={"Buy": "info", "Sell": "warning"})
    def decision(self, row: SignalLog) -> str:
        """Buy, sell or hold."""
        return row.get_signal_type_display()

    @display(description="Reason")
    def reason(self, row: SignalLog) -> str:
        """Texts of the reasons."""
        return cut(reason_sentence(row.reasons))

    @display(description="Price")
    def price(self, row: SignalLog) -> str:
        """Close of the candle."""
        return plain(row.entry_price)

    @display(description="P(tp) / break-even")
    def probability(self, row: SignalLog) -> str:
        """Probability of the take-profit beside the break-even probability."""
        if row.p_take_profit is None or row.p_break_even is None:
            return "–"
        return f"{row.p_take_profit:.1%} / {row.p_break_even:.1%}"

    @display(description="Expected", ordering="expected_net_return")
    def expected(self, row: SignalLog) -> str:
        """Expected return after fees."""
        return "–" if row.expected_net_return is None else f"{row.expected_net_return:+.2%}"

    @display(
        description="Outcome",
        ordering="outcome",
        label={"Take-profit": "info", "Stop-loss": "warning"},
    )
    def result(self, row: SignalLog) -> str | None:
        """Outcome of the signal; None until scored."""
        return row.get_outcome_display() if row.outcome else None


@admin.register(OutboxMessage)
class OutboxMessageAdmin(LargeLogAdmin):
    """Messages that were or will be published."""

    list_display = ["symbol", "seq", "written_at", "sent_at", "attempts"]
    list_filter = [("sent_at", admin.EmptyFieldListFilter)]
    ordering = ["-id"]


@admin.register(SymbolSequence)
class SymbolSequenceAdmin(ReadOnlyAdmin):
    """Newest seq of each symbol."""

    list_display = ["symbol", "head"]
    search_fields = ["symbol"]


@admin.register(SignalSwitch)
class SignalSwitchAdmin(ReadOnlyAdmin):
    """Kill switch: while signals are off, every signal is a hold."""

    list_display = ["where", "state", column("reason", cut), "changed_by", "changed"]
    list_before_template = "admin/signals/kill_switch.html"
    actions_list = ["switch_off_all", "switch_on_all", "switch_off_one"]
    actions_row = ["toggle"]

    @display(description="Market", ordering="symbol")
    def where(self, row: SignalSwitch) -> str:
        """Market of the switch, or all markets."""
        return str(row)

    @display(description="Signals", label={"off": "danger", "on": "success"})
    def state(self, row: SignalSwitch) -> str:
        """Whether signals are on or off."""
        return "off" if row.off else "on"

    @display(description="Changed", ordering="changed_at")
    def changed(self, row: SignalSwitch) -> str:
        """Time since the last change."""
        return age_of(row.changed_at)

    def get_actions_list(self, request: HttpRequest) -> list[Any]:
        """Actions that change the state: off while on, on while off."""
        is_off = SignalSwitch.objects.filter(symbol="", off=True).exists()
        idle = "switch_off_all" if is_off else "switch_on_all"
        return [step for step in super().get_actions_list(request) if not step.action_name.endswith(idle)]

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        """List of switches below a panel for the switch of all markets."""
        shown = {"switch_for_all": SignalSwitch.objects.filter(symbol="").first(), **(extra_context or {})}
        return super().changelist_view(request, shown)

    def has_switch_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Permission check of the actions."""
        # The name of the permission itself in `permissions` would read the database at every check.
        return bool(request.user.has_perm(SWITCH_PERMISSION))

    @action(description="Switch signals off", icon="block", permissions=["switch"], variant=ActionVariant.DANGER)
    def switch_off_all(self, request: HttpRequest) -> HttpResponse:
        """Switch signals off for all markets."""
        return self._step(request, "", off=True)

    @action(description="Switch signals on", icon="play_arrow", permissions=["switch"], variant=ActionVariant.SUCCESS)
    def switch_on_all(self, request: HttpRequest) -> HttpResponse:
        """Switch signals on for all markets."""
        return self._step(request, "", off=False)

    @action(description="Switch one market off", icon="front_hand", permissions=["switch"])
    def switch_off_one(self, request: HttpRequest) -> HttpResponse:
        """Switch signals off for one market."""
        form = OneMarketForm(posted(request))
        if form.is_valid():
            return self._set(request, form.cleaned_data["symbol"], off=True, reason=form.cleaned_data["reason"])
        return confirm_step(
            request,
            self,
            title="Switch signals off for one market",
            explanation=OFF,
            button="Switch off",
            form=form,
            back=self._list(),
            danger=True,
        )

    @action(description="Toggle", icon="swap_horiz", permissions=["switch"])
    def toggle(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Toggle the switch of one row."""
        row: SignalSwitch = row_of(self, request, object_id)
        return self._step(request, row.symbol, off=not row.off)

    def _step(self, request: HttpRequest, symbol: str, off: bool) -> HttpResponse:
        form = ReasonForm(posted(request))
        if form.is_valid():
            return self._set(request, symbol, off=off, reason=form.cleaned_data["reason"])
        return confirm_step(
            request,
            self,
            title=f"Switch signals {'off' if off else 'on'} for {symbol or 'all markets'}",
            explanation=OFF if off else ON,
            button="Switch off" if off else "Switch on",
            form=form,
            back=self._list(),
            danger=off,
        )

    def _set(self, request: HttpRequest, symbol: str, *, off: bool, reason: str) -> HttpResponse:
        row = kill_switch.set_switch(symbol, off=off, reason=reason, actor=request.user.get_username())
        self.log_change(request, row, f"Switched {'off' if off else 'on'}: {reason}")
        messages.success(request, f"Signals are now {'off' if off else 'on'} for {symbol or 'all markets'}.")
        return HttpResponseRedirect(self._list())

    @staticmethod
    def _list() -> str:
        return reverse("admin:signals_signalswitch_changelist")
