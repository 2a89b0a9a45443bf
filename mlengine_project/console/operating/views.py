"""Views of the operations page and its decisions: the kill switch and API keys."""

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.debug import sensitive_variables

from marketdata.models import Market
from mlengine_project.access import services as access
from mlengine_project.access.models import ApiKey, Scope
from mlengine_project.console.operating import page as pages
from mlengine_project.console.sheets import ReasonForm, Refused, decide, decision, log_change
from mlengine_project.console.views import login_required, login_required_fragment, page
from mlengine_project.http.allowed_methods import allow
from signals import kill_switch
from signals.models import SignalSwitch

SEE_KEYS = "access.view_apikey"


class MarketSwitchForm(ReasonForm):
    """The market whose signals are switched off, with the reason."""

    symbol = forms.ChoiceField(label=gettext_lazy("Market"))
    field_order = ("symbol", "reason")

    def __init__(self, *args: Any, symbols: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        choices = self.fields["symbol"]
        assert isinstance(choices, forms.ChoiceField)
        choices.choices = [(symbol, symbol) for symbol in symbols]


class KeyForm(forms.Form):
    """Fields of a new API key."""

    name = forms.CharField(max_length=100, label=gettext_lazy("Holder"), help_text=gettext_lazy("Who uses it."))
    scope = forms.ChoiceField(
        choices=[(scope.value, gettext_lazy(str(scope.label))) for scope in Scope],
        label=gettext_lazy("Scope"),
        help_text=gettext_lazy("Predict includes read; admin includes both."),
    )


@allow("GET")
@login_required
def operations(request: HttpRequest) -> HttpResponse:
    """Jobs, schedule, kill switch, keys and health."""
    context = pages.context(with_keys=request.user.has_perm(SEE_KEYS))
    return page(request, "console/operations.html", section="operations", **context)


@allow("GET")
@login_required_fragment
def live(request: HttpRequest) -> HttpResponse:
    """Switch, jobs and health, which replace the old ones."""
    return page(request, "console/partial/operating.html", **pages.live_context())


@decision("signals.change_signalswitch")
def switch(request: HttpRequest) -> HttpResponse:
    """Switch signals of all markets off or on."""
    row = SignalSwitch.objects.filter(symbol=kill_switch.ALL).first()
    turn_off = row is None or not row.off
    explanation = gettext(
        "From the next candle on every signal is a hold with the reason KILL_SWITCH. Predictions continue; signals "
        "already sent do not change."
    )

    def act(values: dict[str, Any]) -> str:
        changed = kill_switch.set_switch(
            kill_switch.ALL, off=turn_off, reason=values["reason"], actor=request.user.get_username()
        )
        log_change(request, changed, values["reason"])
        return gettext("Signals are off for all markets.") if turn_off else gettext("Signals are on for all markets.")

    return decide(
        request,
        ReasonForm(request.POST or None),
        act,
        back=reverse("console:operations"),
        title=gettext("Switch signals off") if turn_off else gettext("Switch signals on"),
        explanation=explanation
        if turn_off
        else gettext("From the next candle on signals are sent again as the models and rules decide."),
        button=gettext("Switch off") if turn_off else gettext("Switch on"),
        danger=turn_off,
    )


@decision("signals.change_signalswitch")
def switch_market_off(request: HttpRequest) -> HttpResponse:
    """Switch signals of one market off."""
    off = kill_switch.switched_off_symbols()
    symbols = [name for name in Market.objects.enabled().values_list("symbol", flat=True) if name not in off]

    def act(values: dict[str, Any]) -> str:
        _set_market(request, values["symbol"], values["reason"], off=True)
        return gettext("Signals of %(market)s are off.") % {"market": values["symbol"]}

    return decide(
        request,
        MarketSwitchForm(request.POST or None, symbols=symbols),
        act,
        back=reverse("console:operations"),
        title=gettext("Switch off one market"),
        explanation=gettext(
            "From the next candle on every signal of this market is a hold with the reason KILL_SWITCH. The other "
            "markets go on."
        ),
        button=gettext("Switch off"),
        danger=True,
        impossible=not symbols,
    )


@decision("signals.change_signalswitch")
def switch_market_on(request: HttpRequest, symbol: str) -> HttpResponse:
    """Switch signals of one market on again."""
    get_object_or_404(SignalSwitch.objects.exclude(symbol=kill_switch.ALL), symbol=symbol, off=True)

    def act(values: dict[str, Any]) -> str:
        _set_market(request, symbol, values["reason"], off=False)
        return gettext("Signals of %(market)s are on.") % {"market": symbol}

    return decide(
        request,
        ReasonForm(request.POST or None),
        act,
        back=reverse("console:operations"),
        title=gettext("Switch on %(market)s") % {"market": symbol},
        explanation=gettext("From the next candle on signals are sent again as the models and rules decide."),
        button=gettext("Switch on"),
    )


def _set_market(request: HttpRequest, symbol: str, reason: str, *, off: bool) -> None:
    changed = kill_switch.set_switch(symbol, off=off, reason=reason, actor=request.user.get_username())
    log_change(request, changed, reason)


@decision("access.add_apikey")
@sensitive_variables("secret")
def create_key(request: HttpRequest) -> HttpResponse:
    """Make an API key and show its secret once."""

    def act(values: dict[str, Any]) -> HttpResponse:
        key, secret = access.create_key(values["name"], values["scope"])
        log_change(request, key, "Created.", added=True)
        return page(request, "console/new_key.html", section="operations", key=key, secret=secret)

    return decide(
        request,
        KeyForm(request.POST or None),
        act,
        back=reverse("console:operations"),
        title=gettext("Make an API key"),
        explanation=gettext("Its secret is shown once and not stored."),
        button=gettext("Make the key"),
    )


@decision("access.change_apikey")
@sensitive_variables("secret")
def rotate_key(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Replace an API key by a new one and show its secret once."""
    key = get_object_or_404(ApiKey, pk=key_id)

    def act(values: dict[str, Any]) -> HttpResponse:
        if key.revoked_at or key.rotated_to_id:
            raise Refused(gettext("A revoked or already rotated key cannot be rotated."))
        successor, secret = access.rotate_key(key)
        log_change(request, key, values["reason"])
        return page(request, "console/new_key.html", section="operations", key=successor, secret=secret)

    return decide(
        request,
        ReasonForm(request.POST or None),
        act,
        back=reverse("console:operations"),
        title=gettext("Rotate the key of %(name)s") % {"name": key.name},
        explanation=gettext("A new key of the same holder and scope; the old one stays valid for %(hours)d hours.")
        % {"hours": access.OVERLAP.total_seconds() // 3600},
        button=gettext("Rotate"),
    )


@decision("access.change_apikey")
def revoke_key(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Revoke an API key."""
    key = get_object_or_404(ApiKey, pk=key_id)

    def act(values: dict[str, Any]) -> str:
        access.revoke_key(key)
        log_change(request, key, values["reason"])
        return gettext("The key %(prefix)s… is revoked; every process refuses it within a minute.") % {
            "prefix": key.prefix
        }

    return decide(
        request,
        ReasonForm(request.POST or None),
        act,
        back=reverse("console:operations"),
        title=gettext("Revoke the key of %(name)s") % {"name": key.name},
        explanation=gettext("Programs that use it are refused within a minute. This cannot be undone."),
        button=gettext("Revoke"),
        danger=True,
    )
