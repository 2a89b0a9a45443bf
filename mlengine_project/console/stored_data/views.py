"""Views of the data page, and the decision to fetch history."""

from datetime import timedelta
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from marketdata import clock
from marketdata.models import Market
from mlengine_project.console.sheets import ReasonForm, decide, decision, log_change
from mlengine_project.console.stored_data import calendar
from mlengine_project.console.stored_data import page as pages
from mlengine_project.console.views import login_required, login_required_fragment, page
from mlengine_project.http.allowed_methods import allow
from mlengine_project.operations.jobs import control


class BackfillForm(ReasonForm):
    """Markets and days of a backfill."""

    symbols = forms.MultipleChoiceField(
        label=gettext_lazy("Markets"), widget=forms.SelectMultiple(attrs={"size": 8}), choices=()
    )
    days = forms.IntegerField(
        min_value=1, max_value=4000, initial=90, label=gettext_lazy("Days"), help_text=gettext_lazy("Back from now.")
    )
    field_order = ("symbols", "days", "reason")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        symbols = list(Market.objects.enabled().values_list("symbol", flat=True))
        self.fields["symbols"].choices = [(symbol, symbol) for symbol in symbols]  # type: ignore[attr-defined]
        self.fields["symbols"].initial = symbols


@allow("GET")
@login_required
def data(request: HttpRequest) -> HttpResponse:
    """Stored candles, the feed and backfills."""
    return page(request, "console/data.html", section="data", **pages.context(request.GET.get("symbol", "")))


@allow("GET")
@login_required_fragment
def feed(request: HttpRequest) -> HttpResponse:
    """Feed, budget and backfills, which replace the old ones."""
    return page(request, "console/partial/feed.html", **pages.feed_context())


@allow("GET")
@login_required_fragment
def days(_request: HttpRequest, symbol: str) -> HttpResponse:
    """The calendar of a market, as JSON."""
    market = Market.objects.enabled().filter(symbol=symbol).first()
    if market is None:
        raise Http404
    return JsonResponse({"symbol": symbol, "days": [day.as_json() for day in calendar.days_of(market)]})


@decision("operations.add_job")
def backfill(request: HttpRequest) -> HttpResponse:
    """Request history from the exchange."""

    def act(values: dict[str, Any]) -> str:
        begin = clock.market_now() - timedelta(days=values["days"])
        arguments = {"symbols": values["symbols"], "from": f"{begin:%Y-%m-%dT%H:%M:%SZ}"}
        job = control.request_backfill(request.user.get_username(), arguments)
        log_change(request, job, values["reason"], added=True)
        return gettext("Backfill requested; a worker takes it within seconds.")

    return decide(
        request,
        BackfillForm(request.POST or None),
        act,
        back=reverse("console:data"),
        title=gettext("Fetch history"),
        explanation=gettext("Fetches missing candles within the exchange's request budget. Stored candles are kept."),
        button=gettext("Start backfill"),
    )
