"""Secrets on the form: written, never read back.

A secret that is set has three states to choose from: keep, replace, clear. Typed text means replace. What was typed
is not rendered again, not even after an error elsewhere on the form; the input then says so. Where the catalogue may
look secrets up, a reference can be given in place of one (``env:NAME``); it is no secret, and is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from connections.adapters.schema import is_mask
from connections.forms.pasted import LARGEST, Pasted, file_name, pasted

KEEP, REPLACE, CLEAR = "keep", "replace", "clear"


class Kept(Enum):
    """The secret stays as it is stored, or unset."""

    KEPT = "kept"


KEPT = Kept.KEPT


@dataclass(frozen=True, slots=True)
class SecretEntry:
    """What came in for one secret. Its repr does not show it."""

    pasted: Pasted
    action: str
    reference: str = ""

    @property
    def typed(self) -> bool:
        return bool(self.pasted.text or self.pasted.problem)


class SecretWidget(forms.Widget):
    """A password input, or a textarea with a file input, that never has a value; the stored secret's state above it.

    ``set_at`` is when the stored secret was last set, None when there is none, True when that is not known.
    ``kept_at`` is the reference that is stored in its place; ``refers`` says whether one may be given.
    """

    template_name = "connections/forms/widgets/secret.html"

    def __init__(
        self,
        attrs: dict[str, Any] | None = None,
        *,
        set_at: datetime | bool | None = None,
        long: bool = False,
        accept: str = "",
        largest: int = LARGEST,
    ) -> None:
        secretive = {"autocomplete": "off" if long else "new-password", "spellcheck": "false", "autocapitalize": "off"}
        super().__init__({**secretive, **(attrs or {})})
        self.set_at = set_at
        self.kept_at = ""
        self.refers = False
        self.long = self.needs_multipart_form = long
        self.accept = accept
        self.largest = largest

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> SecretEntry:
        reference = str(data.get(f"{name}-ref") or "").strip() if self.refers else ""
        return SecretEntry(pasted(data, files, name, self.largest), data.get(f"{name}-action") or KEEP, reference)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        attributes = context["widget"]["attrs"]
        entry = value if isinstance(value, SecretEntry) else None
        again = entry is not None and entry.typed
        reference = entry.reference if entry is not None else ""
        action = (REPLACE if again or reference else entry.action) if entry is not None else KEEP
        if action == KEEP and attributes.get("aria-invalid"):
            action = REPLACE  # the stored secret will not do: what is asked for is a new one
        notes = [f"{attributes.get('id')}_state"] if self.set_at else []
        notes += [f"{attributes.get('id')}_again"] if again else []
        described = " ".join(filter(None, [*notes, attributes.get("aria-describedby")]))
        if described:
            attributes["aria-describedby"] = described
        context["widget"] |= {
            "long": self.long,
            "file_name": file_name(name),
            "accept": self.accept,
            "set": bool(self.set_at),
            "set_at": self.set_at if isinstance(self.set_at, datetime) else None,
            "again": again,
            "kept_at": self.kept_at if self.set_at else "",
            "refers": self.refers,
            "reference": reference,
            "reference_name": f"{name}-ref",
            "action_name": f"{name}-action",
            "actions": [(tag, words, tag == action) for tag, words in _ACTIONS],
        }
        return context


_ACTIONS = ((KEEP, gettext_lazy("Keep")), (REPLACE, gettext_lazy("Replace")), (CLEAR, gettext_lazy("Clear")))


class SecretField(forms.Field):
    """Cleans to ``KEPT``, to the new secret, to ``{"ref": …}`` for where it is kept, or to None for clear."""

    widget = SecretWidget

    def clean(self, value: Any) -> str | dict[str, str] | Kept | None:
        if value.pasted.problem:
            raise ValidationError(value.pasted.problem, code="file")
        text = value.pasted.text
        if not text and not value.reference:
            return self._without_text(value.action)
        if value.action == CLEAR and self._is_set():
            raise ValidationError(_("A new value was entered and Clear was chosen. Do one of the two."), code="invalid")
        if value.reference:
            return self._reference(value)
        if is_mask(text):
            raise ValidationError(_("This is a mask, not a secret. Enter the secret itself."), code="mask")
        ProhibitNullCharactersValidator()(text)
        return str(text)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data.typed or data.reference or data.action != KEEP)

    def _reference(self, value: SecretEntry) -> dict[str, str]:
        if value.typed:
            raise ValidationError(_("Enter the secret, or where it is kept, not both."), code="invalid")
        ProhibitNullCharactersValidator()(value.reference)
        return {"ref": value.reference}

    def _is_set(self) -> bool:
        return isinstance(self.widget, SecretWidget) and bool(self.widget.set_at)

    def _without_text(self, action: str) -> Kept | None:
        if not self._is_set() or action == KEEP:
            return KEPT
        if action == CLEAR:
            return None
        raise ValidationError(_("Enter the new value, or choose Keep."), code="required")
