"""Console pages and the fragments that refresh them; anonymous visitors see the landing page."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import login, logout
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.i18n import JavaScriptCatalog, set_language

from indicators.errors import UnknownIndicator
from marketdata import clock
from marketdata.intervals import INTERVAL, INTERVALS
from marketdata.models import Market
from mlengine_project.access.sign_in import ThrottledForm
from mlengine_project.console import board as board_reads
from mlengine_project.console import chart_feed, market_page
from mlengine_project.console import record_panel as record_reads
from mlengine_project.console import sign_in as one_time_links
from mlengine_project.console.engine_state import current_state
from mlengine_project.http.allowed_methods import allow

View = Callable[..., HttpResponse]
MAX_WHOLE_CARDS = 24
"""With more markets the board opens as dense rows."""
FIRST_CARDS = 60
"""Markets the page of the board is sent with; it asks for the others, by name, once it is drawn."""


def page(request: HttpRequest, template: str, status: int = 200, **context: Any) -> HttpResponse:
    """Render a page with the state of the engine."""
    state = current_state()
    context = {"engine": state, "now": clock.to_datetime(state.market_ms), **context}
    return timed(render(request, template, context, status=status))


def timed(response: HttpResponse) -> HttpResponse:
    """Add the market time, by which open pages correct their clock."""
    response["X-Market-Ms"], response["X-Market-Rate"] = str(clock.market_ms()), f"{clock.market_rate():.6g}"
    return response


def login_required(view: View) -> View:
    """Send anonymous visitors of a page to the landing page."""

    @never_cache
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return redirect(f"{reverse('console:board')}?{urlencode({'next': request.get_full_path()})}")

    return guarded


def login_required_fragment(view: View) -> View:
    """Answer 401 to a script whose session has ended."""

    @never_cache
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        return HttpResponse("Sign in again.", status=401, content_type="text/plain")

    return guarded


@allow("GET")
@never_cache
def board(request: HttpRequest) -> HttpResponse:
    """The live board; the landing page for anonymous visitors."""
    if not request.user.is_authenticated:
        return page(request, "console/landing.html", next=_safe_next(request, request.GET.get("next", "")))
    symbols = list(Market.objects.enabled().values_list("symbol", flat=True))
    view = "cards" if len(symbols) <= MAX_WHOLE_CARDS else "rows"
    context = _board_context(symbols[:FIRST_CARDS], request.GET.get("view") or view)
    return page(request, "console/board.html", section="board", later=symbols[FIRST_CARDS:], **context)


@allow("GET")
@login_required_fragment
def cards(request: HttpRequest) -> HttpResponse:
    """Cards of the named markets, which replace the old ones."""
    named = [symbol for symbol in request.GET.get("symbols", "").split(",") if symbol]
    return page(request, "console/cards.html", **_board_context(named, request.GET.get("view", "")))


@allow("GET")
@login_required_fragment
def notices(request: HttpRequest) -> HttpResponse:
    """The notices above every page."""
    return page(request, "console/partial/notices.html")


@allow("GET")
@login_required
def market(request: HttpRequest, symbol: str) -> HttpResponse:
    """One market: chart, ranges, signals, record, quality."""
    context = market_page.context(symbol)
    if context is None:
        return page(
            request,
            "console/absent.html",
            status=404,
            headline=gettext("%(symbol)s is not followed") % {"symbol": symbol[:20]},
            explanation=gettext("No enabled market has this symbol."),
        )
    return page(request, "console/market.html", **context)


@allow("GET")
@login_required_fragment
def panels(request: HttpRequest, symbol: str) -> HttpResponse:
    """Everything of the market page but the chart."""
    context = market_page.context(symbol)
    if context is None:
        raise Http404
    return page(request, "console/partial/market_panels.html", **context)


@allow("GET")
@login_required_fragment
def chart(request: HttpRequest, symbol: str) -> HttpResponse:
    """Candles, forecasts and signals for the chart, as JSON."""
    market = _market_or_404(symbol)
    interval = request.GET.get("interval", INTERVAL)
    if interval not in INTERVALS:
        return _bad_query(f"interval is one of {', '.join(INTERVALS)}.")
    try:
        horizon = _whole_number(request, "horizon", digits=6)
        since_ms, before_ms = _whole_number(request, "since"), _whole_number(request, "before")
        count = _whole_number(request, "count", digits=6) or chart_feed.CANDLES
    except ValueError:
        return _bad_query("horizon, since, before and count are whole numbers.")
    series = chart_feed.series(market, interval, horizon=horizon, since_ms=since_ms, before_ms=before_ms, count=count)
    return timed(JsonResponse(series))


@allow("GET")
@login_required_fragment
def indicators(request: HttpRequest, symbol: str) -> HttpResponse:
    """Values of named indicators for the chart, as JSON."""
    market = _market_or_404(symbol)
    interval, names = request.GET.get("interval", INTERVAL), request.GET.get("names", "").split(",")
    if interval not in INTERVALS:
        return _bad_query(f"interval is one of {', '.join(INTERVALS)}.")
    try:
        rows = _whole_number(request, "rows", digits=6) or chart_feed.CANDLES
        return timed(JsonResponse(chart_feed.indicators(market, interval, names, rows)))
    except (ValueError, UnknownIndicator):
        return _bad_query("names are of the catalogue, and rows is a whole number.")


@allow("GET")
@login_required_fragment
def forecast(request: HttpRequest, symbol: str) -> HttpResponse:
    """The forecast that was newest at an instant, with what came of it, as JSON."""
    market = _market_or_404(symbol)
    try:
        at_ms = _whole_number(request, "at")
    except ValueError:
        return _bad_query("at is a whole number.")
    found = None if at_ms is None else chart_feed.forecast(market, at_ms)
    return timed(JsonResponse({"forecast": found}))


@allow("GET")
@login_required_fragment
def opened_forecast(request: HttpRequest, symbol: str) -> HttpResponse:
    """One forecast opened: versions, what drove it, its seal."""
    market = _market_or_404(symbol)
    try:
        at_ms, horizon = _whole_number(request, "at"), _whole_number(request, "horizon", digits=6)
    except ValueError:
        return _bad_query("at and horizon are whole numbers.")
    context = market_page.opened_forecast(market, at_ms, horizon)
    return page(request, "console/partial/opened_forecast.html", **context)


@allow("GET")
@login_required_fragment
def record_panel(request: HttpRequest) -> HttpResponse:
    """The track record of one market."""
    market = _market_or_404(request.GET.get("symbol", ""))
    return page(request, "console/partial/track_record.html", **record_reads.context(market.symbol))


@allow("POST")
@csrf_protect
def language(request: HttpRequest) -> HttpResponse:
    """Keep the chosen language in a cookie and return to the page."""
    return set_language(request)


@allow("GET")
@cache_control(private=True, max_age=300)
def texts(request: HttpRequest) -> HttpResponseBase:
    """Texts of the page scripts in the page's language."""
    return JavaScriptCatalog.as_view()(request)


@allow("GET", "POST")
@never_cache
@csrf_protect
@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in with user name and password; the form throttles attempts."""
    if request.method != "POST":
        return redirect("console:board")
    target = _safe_next(request, request.POST.get("next", ""))
    form = ThrottledForm(request, data=request.POST)
    if not form.is_valid():
        throttled = form.has_error(NON_FIELD_ERRORS, "throttled")
        refusal = form.non_field_errors()[0] if throttled else gettext("User name and password do not match.")
        context = {"refusal": refusal, "user_name": form["username"].value() or "", "next": target}
        return page(request, "console/landing.html", status=400, **context)
    login(request, form.get_user())
    return HttpResponseRedirect(target or reverse("console:board"))


@allow("GET", "POST")
@never_cache
@csrf_protect
def one_time(request: HttpRequest, token: str) -> HttpResponse:
    """Redeem a one-time link; only a POST uses it, so that a preview or prefetch does not."""
    if request.method != "POST":
        is_valid = one_time_links.is_valid(token)
        return page(request, "console/one_time.html", status=200 if is_valid else 410, is_valid=is_valid)
    if one_time_links.redeem(request, token) is None:
        return page(request, "console/one_time.html", status=410, is_valid=False)
    return redirect("console:board")


@allow("POST")
@csrf_protect
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("console:board")


def _safe_next(request: HttpRequest, target: str) -> str:
    """The target if it is a path of this site, else ''."""
    is_own_path = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if is_own_path and target.startswith("/") else ""


def _board_context(symbols: list[str], view: str) -> dict[str, Any]:
    """Cards, and whether all of their parts are written: dense rows hide most of them."""
    return {"cards": board_reads.cards(symbols), "whole": view != "rows"}


def _market_or_404(symbol: str) -> Market:
    market = Market.objects.enabled().filter(symbol=symbol).first()
    if market is None:
        raise Http404
    return market


def _whole_number(request: HttpRequest, name: str, digits: int = 13) -> int | None:
    """A number of the query, None without one; further digits are cut, as no time has more.

    Raises
    ------
    ValueError
        If it is no whole number.
    """
    text = request.GET.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError(name)
    return int(text[:digits])


def _bad_query(message: str) -> HttpResponse:
    return HttpResponse(message, status=400, content_type="text/plain")
