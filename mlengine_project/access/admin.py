"""Admin pages of API keys: create, rotate and revoke. A secret is shown once and never stored."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextInputWidget

from marketdata import clock
from marketdata.admin_pages import ReadOnlyAdmin, age_of, confirm_step, posted, row_of
from mlengine_project.access import services
from mlengine_project.access.models import ApiKey, KnownAddress, Scope, WebsocketTicket

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """People who may sign in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of people with the same permissions."""


class NewKeyForm(forms.Form):
    """Fields of a new API key."""

    name = forms.CharField(max_length=100, help_text="Who holds it.", widget=UnfoldAdminTextInputWidget)
    scope = forms.ChoiceField(
        choices=Scope.choices,
        help_text="Predict includes read; admin includes both.",
        widget=UnfoldAdminSelectWidget,
    )
    expires_at = forms.SplitDateTimeField(
        required=False, help_text="UTC; empty for a key that does not expire.", widget=UnfoldAdminSplitDateTimeWidget
    )


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Admin of API keys. The stored digest cannot be turned back into a key."""

    list_display = ["name", "shown_prefix", "scope", "state", "created", "last_used", "expires_at"]
    list_filter = ["scope", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "prefix"]
    fields = ["name", "prefix", "scope", "created_at", "expires_at", "revoked_at", "last_used_at", "rotated_to"]
    actions_list = ["create_key"]
    actions_detail = ["rotate", "revoke"]

    @display(description="Key")
    def shown_prefix(self, key: ApiKey) -> str:
        """The public prefix of the key."""
        return f"{key.prefix}…"

    @display(description="State", label={"active": "success", "revoked": "default", "expired": "warning"})
    def state(self, key: ApiKey) -> str:
        """Active, revoked or expired."""
        if key.revoked_at:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= clock.wall_now() else "active"

    @display(description="Created", ordering="created_at")
    def created(self, key: ApiKey) -> str:
        """Age of the key."""
        return age_of(key.created_at)

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> str:
        """Time since the last use, to the minute."""
        return age_of(key.last_used_at)

    def has_issue_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Permission check of the actions; naming the permission itself would make every check read the database."""
        return bool(request.user.has_perm("access.add_apikey"))

    def has_end_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Permission check of the actions; naming the permission itself would make every check read the database."""
        return bool(request.user.has_perm("access.change_apikey"))

    @action(description="New key", icon="add", permissions=["issue"], variant=ActionVariant.PRIMARY)
    def create_key(self, request: HttpRequest) -> HttpResponse:
        """Create a key and show it once."""
        form = NewKeyForm(posted(request))
        if form.is_valid():
            values = form.cleaned_data
            key, secret = services.create_key(values["name"], values["scope"], expires_at=values["expires_at"])
            self.log_addition(request, key, "Created.")
            return self._reveal(request, key, secret)
        return confirm_step(
            request,
            self,
            title="New API key",
            explanation="The key is shown once, on the next page. It cannot be shown again.",
            button="Create key",
            form=form,
            back=self._list(),
        )

    @action(description="Rotate", icon="autorenew", permissions=["end"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Replace a key; the old one stays valid for a day."""
        key: ApiKey = row_of(self, request, object_id)
        if key.revoked_at or key.rotated_to_id:
            messages.error(request, "A revoked or already rotated key cannot be rotated.")
            return HttpResponseRedirect(self._page(key))
        if request.method == "POST":
            successor, secret = services.rotate_key(key)
            self.log_change(request, key, f"Rotated to {successor.prefix}.")
            return self._reveal(request, successor, secret)
        return confirm_step(
            request,
            self,
            title=f"Rotate {key}",
            explanation="A new key of the same holder and scope is created and shown once. "
            "The old one stays valid for 24 hours.",
            button="Rotate",
            form=forms.Form(),
            back=self._page(key),
        )

    @action(description="Revoke", icon="block", permissions=["end"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Revoke a key; every process refuses it within a minute."""
        key: ApiKey = row_of(self, request, object_id)
        if request.method == "POST":
            services.revoke_key(key)
            self.log_change(request, key, "Revoked.")
            messages.success(request, f"{key.name} is revoked; every process refuses it within 60 seconds.")
            return HttpResponseRedirect(self._list())
        return confirm_step(
            request,
            self,
            title=f"Revoke {key}",
            explanation="Every process refuses it within 60 seconds. This cannot be undone; create a new key instead.",
            button="Revoke",
            form=forms.Form(),
            back=self._page(key),
            danger=True,
        )

    def _reveal(self, request: HttpRequest, key: ApiKey, secret: str) -> HttpResponse:
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,  # noqa: SLF001 - Django's public name for it
            "title": f"The key of {key.name}",
            "key": key,
            "secret": secret,
            "back": self._list(),
        }
        return TemplateResponse(request, "admin/access/new_key.html", shown)

    @staticmethod
    def _list() -> str:
        return reverse("admin:access_apikey_changelist")

    @staticmethod
    def _page(key: ApiKey) -> str:
        return reverse("admin:access_apikey_change", args=[key.pk])


@admin.register(WebsocketTicket)
class WebsocketTicketAdmin(ReadOnlyAdmin):
    """Single-use websocket tickets."""

    list_display = ["key_id", "scope", "created_at", "expires_at", "redeemed_at"]
    list_filter = ["scope"]
    fields: Any = ["key_id", "scope", "created_at", "expires_at", "redeemed_at"]
    ordering = ["-created_at"]


@admin.register(KnownAddress)
class KnownAddressAdmin(ReadOnlyAdmin):
    """Addresses users signed in from."""

    list_display = ["user", "network", "last_sign_in_at"]
    search_fields = ["user__username", "network"]
    fields: Any = ["user", "network", "last_sign_in_at"]
    ordering = ["-last_sign_in_at"]
