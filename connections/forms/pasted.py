"""Long text that is pasted into a textarea or uploaded as a file: certificates and key files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

LARGEST = 65536  # bytes; a chain of certificates is a tenth of that


@dataclass(frozen=True, slots=True)
class Pasted:
    """What came in: text with LF line ends, or what is wrong with the file. Its repr shows neither."""

    text: str = field(default="", repr=False)
    problem: str = ""


def plain_lines(text: str) -> str:
    """``text`` with LF line ends; browsers send CRLF from a textarea."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def pasted(data: Mapping[str, Any], files: Mapping[str, Any], name: str, largest: int = LARGEST) -> Pasted:
    """The text of an input and the file beside it. A file, being the later act, wins."""
    file = files.get(file_name(name))
    if isinstance(file, UploadedFile):
        return _uploaded(file, largest)
    return Pasted(plain_lines(data.get(name) or ""))


def file_name(name: str) -> str:
    """The name of the file input that stands beside input ``name``."""
    return f"{name}-file"


def _uploaded(file: UploadedFile[Any], largest: int) -> Pasted:
    file.seek(0)  # a form asks its widgets more than once
    content = file.read(largest + 1)
    if len(content) > largest:
        return Pasted(problem=_("The file is larger than %(bytes)d bytes.") % {"bytes": largest})
    try:
        return Pasted(plain_lines(content.decode("utf-8-sig")))
    except UnicodeDecodeError:
        return Pasted(problem=_("The file is not text. Upload a PEM or JSON file."))


class PastedWidget(forms.Textarea):
    """A textarea with a file input beside it."""

    template_name = "connections/forms/widgets/pasted.html"
    needs_multipart_form = True

    def __init__(self, attrs: dict[str, Any] | None = None, accept: str = "", largest: int = LARGEST) -> None:
        super().__init__({"rows": 3, "spellcheck": "false", "autocomplete": "off", **(attrs or {})})
        self.accept = accept
        self.largest = largest

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Pasted:
        return pasted(data, files, name, self.largest)

    def format_value(self, value: Any) -> str:
        return value.text if isinstance(value, Pasted) else value or ""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"] |= {"file_name": file_name(name), "accept": self.accept}
        return context


class PastedField(forms.Field):
    """Text, pasted or uploaded."""

    def to_python(self, value: Any) -> str:
        if not isinstance(value, Pasted):
            return value or ""
        if value.problem:
            raise ValidationError(value.problem, code="file")
        return value.text if value.text.strip() else ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data.problem) or plain_lines(initial or "") != data.text
