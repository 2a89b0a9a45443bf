"""Shared kinds of admin page: read-only logs and confirmed actions."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin as DjangoModelAdmin
from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from marketdata import clock
from marketdata.decimals import plain_text


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


class LargeLogAdmin(ReadOnlyAdmin):
    """A read-only page of a table too long to be counted for every request."""

    paginator = InfinitePaginator


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


def plain(number: Decimal | None) -> str:
    """A decimal without trailing zeros."""
    return "–" if number is None else plain_text(number)


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
