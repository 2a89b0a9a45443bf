"""Shared kinds of admin page: read-only logs and confirmed actions."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin import ModelAdmin as DjangoModelAdmin
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import FieldDoesNotExist
from django.db import connection
from django.db.models import BigIntegerField, DecimalField, FloatField, JSONField, Max, Q, QuerySet, UUIDField
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from marketdata import clock
from marketdata.decimals import plain_text
from marketdata.models import Market

MS_FIELDS = ("open_time", "close_time", "start", "end")
COMPUTED_PRICES = ("predicted_high", "predicted_low", "take_profit", "stop_loss")
"""Prices with more digits than a market trades in."""


class ReadOnlyAdmin(ModelAdmin):
    """A page that shows rows and never adds, edits or deletes one."""

    list_per_page = 50
    show_full_result_count = False
    actions = None
    list_fullwidth = True

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:  # noqa: ARG002
        """Rows cannot be added."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Rows cannot be edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Rows cannot be deleted."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Fields of the page of one row, with numbers and times as people read them."""
        return [
            (title, {**options, "fields": [self._readable(name) for name in options["fields"]]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def _readable(self, name: Any) -> Any:
        """A field, or what shows its value rounded with the exact one in its title."""
        try:
            field = self.opts.get_field(name)
        except (FieldDoesNotExist, TypeError):
            return name
        text = readable_text(field)
        if text is None:
            return name

        @display(description=str(getattr(field, "verbose_name", name)).capitalize())
        def shown(row: Any) -> str | None:
            value = getattr(row, name)
            return None if value in (None, []) else format_html('<span title="{}">{}</span>', value, text(value))

        shown.__name__ = name
        return shown

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """A list that names no total where nothing is hidden."""
        shown: ChangeList = super().get_changelist_instance(request)
        if not (shown.query or shown.has_active_filters):
            shown.full_result_count = shown.result_count
        return shown


class NewestRows(InfinitePaginator):
    """Pages of the newest rows, without counting the table; older rows are found by search."""

    count = 10_000


class LargeLogAdmin(ReadOnlyAdmin):
    """A read-only page of a table too long to be counted, sorted or searched as a whole.

    Its order is that of an index, and a search is for a symbol or a row id.
    """

    paginator = NewestRows
    sortable_by = ()
    list_before_template = "admin/newest_rows.html"
    symbol_lookup = "symbol"
    search_fields = ["symbol"]  # shows the field; `get_search_results` does the search
    search_help_text = "A symbol such as BTCUSDT, or the id of a row."

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """A list with the approximate size of a long table instead of a count."""
        shown = super().get_changelist_instance(request)
        shown.full_result_count = shown.result_count
        if (rows := estimated_rows(self.opts.db_table)) > NewestRows.count:
            shown.size_note = (  # type: ignore[attr-defined]
                f"The newest {NewestRows.count:,} of about {significant(rows)} rows. "
                "Search for a symbol or an id to see older ones."
            )
        return shown

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """Rows of a known symbol, or the row with the given id; a text within a column would need the whole table."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if Market.objects.filter(symbol=term.upper()).exists():
            return queryset.filter(**{self.symbol_lookup: term.upper()}), False
        try:
            return queryset.filter(pk=UUID(term)) if isinstance(self.opts.pk, UUIDField) else queryset.none(), False
        except ValueError:
            return queryset.none(), False


def estimated_rows(table: str) -> int:
    """Rows of a table as PostgreSQL's statistics estimate them; 0 where there are none."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass", [table])
        return int(cursor.fetchone()[0])


class NewestFilter(SimpleListFilter):
    """A filter on a column without index, which therefore reads the rows of the newest days only."""

    days = 1
    conditions: Mapping[str, tuple[str, Q]] = {}
    """Name on the page and condition of each choice."""

    def lookups(self, request: HttpRequest, model_admin: DjangoModelAdmin) -> list[tuple[str, str]]:  # noqa: ARG002
        """Names of the choices."""
        return [(name, title) for name, (title, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Rows of the newest days that meet the chosen condition."""
        if (chosen := self.conditions.get(self.value() or "")) is None:
            return queryset
        newest = queryset.model.objects.aggregate(at=Max("candle_time"))["at"]
        if newest is None:
            return queryset.none()
        return queryset.filter(chosen[1], candle_time__gt=newest - timedelta(days=self.days))


class ReasonForm(forms.Form):
    """Form of an action that is logged with its reason."""

    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="It is kept in the log.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autofocus": True}),
    )


class SwitchField(forms.BooleanField):
    """A boolean field shown as a switch."""

    widget = UnfoldBooleanSwitchWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)


def row_of(model_admin: DjangoModelAdmin, request: HttpRequest, object_id: str) -> Any:
    """The row an action is about; 404 if none or the id is invalid."""
    row = model_admin.get_object(request, unquote(object_id))
    if row is None:
        raise Http404
    return row


def posted(request: HttpRequest) -> QueryDict | None:
    """Data to bind a form to; an empty POST counts as submitted."""
    return request.POST if request.method == "POST" else None


def confirm_step(
    request: HttpRequest,
    model_admin: DjangoModelAdmin,
    *,
    title: str,
    explanation: str,
    button: str,
    form: forms.Form,
    back: str,
    danger: bool = False,
    template: str = "admin/confirm_step.html",
    **context: Any,
) -> HttpResponse:
    """Show an explanation of an action and the form that confirms it."""
    shown = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.model._meta,  # noqa: SLF001 - Django's public name for it
        "title": title,
        "explanation": explanation,
        "button": button,
        "form": form,
        "back": back,
        "danger": danger,
        **context,
    }
    return TemplateResponse(request, template, shown)


def utc_of_ms(milliseconds: int | None) -> str:
    """Candle time as text, such as `2024-03-01 12:05 UTC`."""
    return "–" if milliseconds is None else f"{clock.to_datetime(milliseconds):%Y-%m-%d %H:%M} UTC"


def readable_text(field: Any) -> Callable[[Any], str] | None:
    """How the value of a field is written on the page of one row; None for one shown as it is."""
    if isinstance(field, DecimalField):
        return rounded_price if field.name in COMPUTED_PRICES else plain
    if isinstance(field, FloatField):
        return significant
    if isinstance(field, BigIntegerField) and (field.name in MS_FIELDS or field.name.endswith("_ms")):
        return utc_of_ms
    if isinstance(field, JSONField) and field.name.endswith("_quantiles"):
        return lambda prices: ", ".join(rounded_price(Decimal(price)) for price in prices)
    return None


def plain(number: Decimal | None) -> str:
    """A decimal without trailing zeros."""
    return "–" if number is None else plain_text(number)


def rounded_price(number: Decimal | None) -> str:
    """A computed price with six significant digits.

    >>> rounded_price(Decimal("99.0202041")), rounded_price(Decimal("103394.5512"))
    ('99.0202', '103395')
    """
    return "–" if number is None else plain_text(f"{Decimal(f'{number:.6g}'):f}")


def significant(number: float | Decimal) -> str:
    """A number with four significant digits, large ones whole and with separators.

    >>> significant(0.000123456), significant(12.3456), significant(651_572.51)
    ('0.0001235', '12.35', '651,573')
    """
    if abs(float(number)) >= 10_000:
        return f"{number:,.0f}"
    return plain_text(f"{Decimal(f'{number:.4g}'):f}")


def column(name: str, text: Callable[[Any], str], title: str = "") -> Callable[[Any], str]:
    """A column of a list that shows a field as text for people, sorted by the field."""

    @display(description=title or name.replace("_", " ").capitalize(), ordering=name)
    def shown(row: Any) -> str:
        value = getattr(row, name)
        return "–" if value is None else text(value)

    return shown


def cut(text: str) -> str:
    """A text on one line of limited width, whole in its title."""
    return format_html('<span class="engine-cut" title="{}">{}</span>', text, text) if text else "–"


def age_of(moment: datetime | None) -> str:
    """Time since a wall-clock moment as text, such as `5 min ago`."""
    if moment is None:
        return "–"
    seconds = max(0, int((clock.wall_now() - moment).total_seconds()))
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {word} ago"
    return f"{seconds} s ago"


def progress_bar(share: float) -> str:
    """A progress bar in HTML without script or inline style."""
    return format_html(
        '<progress class="engine-progress" max="1" value="{}"></progress> <span>{}</span>',
        f"{share:.3f}",
        f"{share:.0%}",
    )
