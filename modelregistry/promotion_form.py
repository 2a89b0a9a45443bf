"""Form that asks for an override where the gate refused a version; console and admin add their own fields."""

from typing import Any

from django import forms
from django.utils.translation import gettext


class GateForm(forms.Form):
    """A form whose field `override` exists, and is required, only for a refused version."""

    def __init__(self, *args: Any, needs_override: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.needs_override = needs_override
        if not needs_override:
            del self.fields["override"]

    def clean(self) -> dict[str, Any]:
        """Require the override for a version the gate refused."""
        cleaned = super().clean() or {}
        if self.needs_override and not cleaned.get("override"):
            self.add_error("override", gettext("The gate refused this version; promote it only with an override."))
        return cleaned
