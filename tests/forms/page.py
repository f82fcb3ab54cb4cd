"""A form's HTML as a browser without JavaScript sees it: which inputs there are, and what they would send."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils.datastructures import MultiValueDict


@dataclass
class Control:
    tag: str
    attrs: dict[str, str | None]
    value: str = ""
    options: list[dict[str, str | None]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.attrs.get("name") or ""


class Page(HTMLParser):
    """What a page holds. Content of <template> is not part of it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.controls: list[Control] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.errors: dict[str, list[str]] = {}
        self._textarea: Control | None = None
        self._select: Control | None = None
        self._template = 0
        self._errors_of: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), f"an attribute is given twice on {tag} {found.get('name')}"
        self._template += tag == "template"
        if self._template:
            return
        self.elements.append((tag, found))
        if tag in ("input", "textarea", "select"):
            self.controls.append(Control(tag, found, found.get("value") or ""))
            self._textarea = self.controls[-1] if tag == "textarea" else None
            self._select = self.controls[-1] if tag == "select" else self._select
        elif tag == "option" and self._select is not None:
            self._select.options.append(found)
        elif tag == "ul" and "errorlist" in (found.get("class") or "").split():
            self._errors_of = (found.get("id") or "").removesuffix("_error")
            self.errors[self._errors_of] = []

    def handle_endtag(self, tag: str) -> None:
        self._template -= tag == "template"
        if tag == "textarea":
            self._textarea = None
        elif tag == "select":
            self._select = None
        elif tag == "ul":
            self._errors_of = None

    def handle_data(self, text: str) -> None:
        if self._template:
            return
        if self._textarea is not None:
            self._textarea.value += text
        elif self._errors_of is not None and text.strip():
            self.errors[self._errors_of].append(text.strip())

    def control(self, name: str) -> Control:
        """The only input called ``name``."""
        (found,) = [control for control in self.controls if control.name == name]
        return found

    def submitted(self) -> QueryDict:
        """What a browser sends when nothing is touched."""
        sent: MultiValueDict[str, str] = MultiValueDict()
        for control in self.controls:
            kind = control.attrs.get("type")
            if "disabled" in control.attrs or kind == "file":
                continue
            if kind in ("checkbox", "radio") and "checked" not in control.attrs:
                continue
            sent.appendlist(control.name, _value(control))
        query = QueryDict(mutable=True)
        for name, values in sent.lists():
            query.setlist(name, values)
        return query


def _value(control: Control) -> str:
    if control.tag == "select":
        chosen = [option for option in control.options if "selected" in option] or control.options[:1]
        return (chosen[-1].get("value") or "") if chosen else ""
    if control.tag == "textarea":
        # The first line end after the tag is not part of the value; the others travel as CRLF.
        return control.value.removeprefix("\n").replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    if control.attrs.get("type") == "checkbox":
        return control.attrs.get("value") or "on"
    if control.attrs.get("type") in ("text", "password", "number"):
        return control.value.replace("\r", "").replace("\n", "")
    return control.value


def rendered(form) -> Page:
    """The page of a settings form."""
    return Page(render_to_string("connections/forms/settings.html", {"form": form}))
