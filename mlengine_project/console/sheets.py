"""Side sheets: decisions made where their reasons are shown, by permission and with a reason."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_protect

from mlengine_project.console.views import login_required, page
from mlengine_project.http.allowed_methods import allow

View = Callable[..., HttpResponse]


class Refused(Exception):
    """A decision that cannot be carried out, with the reason as its text."""


class ReasonForm(forms.Form):
    """Form of a decision that is logged with its reason."""

    reason = forms.CharField(
        max_length=300,
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("It is kept in the log with your name."),
        widget=forms.Textarea(attrs={"rows": 3, "autofocus": True}),
    )


def decision(permission: str) -> Callable[[View], View]:
    """Mark a view as a decision: signed in, with the permission, protected from forged requests."""

    def decorate(view: View) -> View:
        @allow("GET", "POST")
        @login_required
        @csrf_protect
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def decide(
    request: HttpRequest,
    form: forms.Form,
    act: Callable[[dict[str, Any]], str | HttpResponse],
    *,
    back: str,
    **sheet: Any,
) -> HttpResponse:
    """Show the sheet, or carry the decision out and go back with the sentence that `act` returns.

    `sheet` holds `title`, `explanation`, `button`, and what its template shows besides. A :class:`Refused` decision
    shows the sheet again with the reason.
    """
    refusal, status = "", 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                done = act(form.cleaned_data)
            except Refused as refused:
                refusal, status = str(refused), 409
            else:
                if isinstance(done, HttpResponse):
                    return done
                messages.success(request, done)
                return HttpResponseRedirect(back)
    # A script shows the sheet beside the page; without one it is a page of its own.
    frame = "console/sheet_frame.html" if "X-Sheet" in request.headers else "console/base.html"
    template = sheet.pop("template", "console/sheet.html")
    return page(request, template, status, frame=frame, form=form, back=back, refusal=refusal, **sheet)


def log_change(request: HttpRequest, row: Model, words: str, *, added: bool = False) -> None:
    """Write a decision with its reason into the admin's history of the row."""
    flag = ADDITION if added else CHANGE
    LogEntry.objects.log_actions(
        user_id=request.user.pk, queryset=[row], action_flag=flag, change_message=words[:500], single_object=True
    )
