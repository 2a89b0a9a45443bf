"""Admin of the signal log and its outbox (read), and of the kill switch (thrown here, with a reason)."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget

from marketdata.admin_pages import LargeLogAdmin, ReadOnlyAdmin, ReasonForm, age_of, confirm_step, plain, posted, row_of
from marketdata.models import Market
from predictions.admin import reason_sentence
from signals import switch
from signals.models import OutboxMessage, SignalLog, SignalSwitch, SymbolSequence

SWITCH_PERMISSION = "signals.change_signalswitch"
OFF = (
    "From the next candle on every signal is a hold with the reason KILL_SWITCH. "
    "Predictions go on; signals already sent stay what they are."
)
ON = "From the next candle on signals go out again as the models and rules decide."


class OneMarketForm(ReasonForm):
    """Which market, and why."""

    symbol = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    field_order = ["symbol", "reason"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        enabled = Market.objects.enabled().values_list("symbol", flat=True)
        self.fields["symbol"].choices = [(symbol, symbol) for symbol in enabled]  # type: ignore[attr-defined]


@admin.register(SignalLog)
class SignalLogAdmin(LargeLogAdmin):
    """The one answer to each closed candle."""

    list_display = ["symbol", "seq", "candle_time", "verdict", "why", "price", "odds", "expected", "result"]
    list_filter = ["symbol", "signal_type", "outcome", "horizon", "simulated"]
    fieldsets = [
        (None, {"fields": ["id", "symbol", "seq", "candle_time", "made_at", "valid_until", "simulated"]}),
        ("Said", {"fields": ["signal_type", "confidence", "horizon", "entry_price", "considered_side"]}),
        ("Bracket", {"fields": ["take_profit", "stop_loss", "p_take_profit", "p_stop_loss", "p_neither"]}),
        ("Worth", {"fields": ["p_break_even", "expected_net_return", "fee_rate", "reasons", "reason_details"]}),
        ("Happened", {"fields": ["outcome", "pnl_percent", "outcome_final", "outcome_at"]}),
        ("Origin", {"fields": ["model_versions", "chain_index", "seal", "previous_seal", "created_at"]}),
    ]

    @display(description="Signal", ordering="signal_type", label={"Buy": "success", "Sell": "danger"})
    def verdict(self, row: SignalLog) -> str:
        """Buy, sell or hold."""
        return row.get_signal_type_display()

    @display(description="Why")
    def why(self, row: SignalLog) -> str:
        """The reasons in words."""
        return reason_sentence(row.reasons) or "–"

    @display(description="Price")
    def price(self, row: SignalLog) -> str:
        """The candle's close."""
        return plain(row.entry_price)

    @display(description="P(tp) / break-even")
    def odds(self, row: SignalLog) -> str:
        """Chance of the take-profit beside what it must be."""
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
        label={"Take-profit": "success", "Stop-loss": "danger", "Timeout": "warning"},
    )
    def result(self, row: SignalLog) -> str | None:
        """What became of it."""
        return row.get_outcome_display() if row.outcome else None


@admin.register(OutboxMessage)
class OutboxMessageAdmin(LargeLogAdmin):
    """What was, or still has to be, published."""

    list_display = ["symbol", "seq", "written_at", "sent_at", "attempts"]
    list_filter = ["symbol", ("sent_at", admin.EmptyFieldListFilter)]
    ordering = ["-id"]


@admin.register(SymbolSequence)
class SymbolSequenceAdmin(ReadOnlyAdmin):
    """The newest seq of each symbol."""

    list_display = ["symbol", "head"]
    search_fields = ["symbol"]


@admin.register(SignalSwitch)
class SignalSwitchAdmin(ReadOnlyAdmin):
    """The kill switch: while it is thrown every signal is a hold."""

    list_display = ["where", "state", "reason", "changed_by", "changed"]
    list_before_template = "admin/signals/kill_switch.html"
    actions_list = ["switch_off_all", "switch_on_all", "switch_off_one"]
    actions_row = ["toggle"]

    @display(description="Market", ordering="symbol")
    def where(self, row: SignalSwitch) -> str:
        """One market, or all."""
        return str(row)

    @display(description="Signals", label={"off": "danger", "on": "success"})
    def state(self, row: SignalSwitch) -> str:
        """Whether signals are held back."""
        return "off" if row.off else "on"

    @display(description="Changed", ordering="changed_at")
    def changed(self, row: SignalSwitch) -> str:
        """How long ago."""
        return age_of(row.changed_at)

    def get_actions_list(self, request: HttpRequest) -> list[Any]:
        """Offer what changes something: off while on, on while off."""
        thrown = SignalSwitch.objects.filter(symbol="", off=True).exists()
        idle = "switch_off_all" if thrown else "switch_on_all"
        return [step for step in super().get_actions_list(request) if not step.action_name.endswith(idle)]

    def changelist_view(self, request: HttpRequest, extra_context: dict | None = None) -> HttpResponse:
        """The list, under a panel that shows the switch for all markets."""
        shown = {"switch_for_all": SignalSwitch.objects.filter(symbol="").first(), **(extra_context or {})}
        return super().changelist_view(request, shown)

    def has_switch_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Asked by the actions; naming the permission itself would make every check read the database."""
        return bool(request.user.has_perm(SWITCH_PERMISSION))

    @action(description="Switch signals off", icon="block", permissions=["switch"], variant=ActionVariant.DANGER)
    def switch_off_all(self, request: HttpRequest) -> HttpResponse:
        """Hold back every signal of every market."""
        return self._step(request, "", off=True)

    @action(description="Switch signals on", icon="play_arrow", permissions=["switch"], variant=ActionVariant.SUCCESS)
    def switch_on_all(self, request: HttpRequest) -> HttpResponse:
        """Let signals go out again."""
        return self._step(request, "", off=False)

    @action(description="Hold one market", icon="front_hand", permissions=["switch"])
    def switch_off_one(self, request: HttpRequest) -> HttpResponse:
        """Hold back the signals of one market."""
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

    @action(description="Flip", icon="swap_horiz", permissions=["switch"])
    def toggle(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Throw or release one row's switch."""
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
        row = switch.set_switch(symbol, off=off, reason=reason, actor=request.user.get_username())
        self.log_change(request, row, f"Switched {'off' if off else 'on'}: {reason}")
        messages.success(request, f"Signals are now {'off' if off else 'on'} for {symbol or 'all markets'}.")
        return HttpResponseRedirect(self._list())

    @staticmethod
    def _list() -> str:
        return reverse("admin:signals_signalswitch_changelist")
