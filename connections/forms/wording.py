"""Words on the form. Titles and descriptions come from the schema and pass through gettext when they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connections.adapters import schema
from connections.adapters.describe import title_of

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Text: TypeAlias = "str | _StrPromise"
"""Text that may be translated only when it is shown."""

_PUNCTUATION: dict[str, Text] = {
    ",": _("Comma"),
    ";": _("Semicolon"),
    "|": _("Vertical bar"),
    "\t": _("Tab"),
    " ": _("Space"),
    "": _("None"),
    ":": _("Colon"),
    '"': _("Double quote"),
    "'": _("Single quote"),
}
_SPELLINGS = {
    **{
        word: word.upper()
        for word in [
            "ca",
            "tls",
            "ssl",
            "ssh",
            "sql",
            "json",
            "csv",
            "tsv",
            "xml",
            "url",
            "uri",
            "id",
            "iam",
            "api",
            "jwt",
            "aws",
            "sso",
            "ip",
        ]
    },
    "jsonpath": "JSONPath",
    "jsonl": "JSON Lines",
    "oauth": "OAuth",
    "oauth2": "OAuth 2",
    "saml": "SAML",
    "ldap": "LDAP",
    "kerberos": "Kerberos",
}


def translated(text: str | None) -> Text:
    """``text`` in the reader's language. Empty stays empty: to gettext the empty string means its own header."""
    return _(text) if text else ""


def label(name: str, field: FieldInfo) -> Text:
    """A setting's label: its title, or its name in words."""
    return translated(title_of(name, field))


def choice_label(value: Any) -> Text:
    """A choice in words: ``verify-full`` is "Verify full"; a value with capitals or digits stays as it is."""
    text = str(value)
    if text in _PUNCTUATION:
        return _PUNCTUATION[text]
    if text != text.lower() or (any(letter.isdigit() for letter in text) and text not in _SPELLINGS):
        return translated(text)
    words = [_SPELLINGS.get(word, word) for word in text.replace("-", " ").replace("_", " ").split()]
    sentence = " ".join(words)
    return translated(sentence[:1].upper() + sentence[1:]) if sentence else text


def branch_label(branch: type[BaseModel], key: str) -> Text:
    """A branch of a choice: the title of its model, or of its discriminator ``key``, or the tag in words."""
    title = branch.model_config.get("title") or branch.model_fields[key].title
    return translated(title) if title else choice_label(schema.tag(branch, key))


def placeholder(field: FieldInfo) -> str:
    """The first example of a setting, or nothing."""
    example = (field.examples or [""])[0]
    return str(example) if isinstance(example, str | int | float) else ""
