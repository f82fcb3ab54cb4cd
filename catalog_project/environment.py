"""Where the settings come from: the process environment, then ``var/env`` for what it does not set.

A variable that is wrong stops the start, and the message names it and says what is wanted. Numbers, flags and lists are
read here and not by django-environ, which takes ``7 days`` for 7, ``1e12`` for 112 and any unknown word for off.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()

ENGINES = ("django.db.backends.postgresql", "django.db.backends.sqlite3")
FLAGS = {"1": True, "0": False, "on": True, "off": False, "true": True, "false": False, "yes": True, "no": False}
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_Number = TypeVar("_Number", int, float)


def load() -> None:
    """Read the development file ``var/env`` when there is one. Real environment variables win."""
    path = BASE_DIR / "var" / "env"
    if path.is_file():
        env.read_env(path, overwrite=False)


def runtime_folder() -> str:
    """A folder of this user's for this installation, the same for all its processes."""
    place = hashlib.sha256(str(BASE_DIR).encode()).hexdigest()[:12]
    return os.path.join(tempfile.gettempdir(), f"catalogue-{os.getuid()}-{place}")


def required(name: str, why: str) -> str:
    """The variable ``name``. Raises ``ImproperlyConfigured`` when it is missing or empty."""
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {why}")
    return value


def database(name: str, *, default: str) -> dict[str, Any]:
    """The database at the URL in the variable ``name``, as Django has it. What is wrong is not repeated: it may hold
    a password. Raises ``ImproperlyConfigured``.
    """
    try:
        found: dict[str, Any] = env.db(name, default=default)
    except (ValueError, ImproperlyConfigured):
        found = {}
    if found.get("ENGINE") not in ENGINES:
        raise ImproperlyConfigured(
            f"{name} is no address of a database. Set it to one such as postgresql://user:password@host:5432/name "
            "(what is no letter or digit URL-quoted) or sqlite:////folder/catalogue.sqlite3."
        )
    return found


def one_of(name: str, words: Sequence[str], *, default: str) -> str:
    """The variable ``name``, one of ``words``. Raises ``ImproperlyConfigured`` when it is not."""
    value = os.environ.get(name, default)
    if value not in words:
        raise _wrong(name, value, f"one of {', '.join(words)}")
    return value


def flag(name: str, *, default: bool) -> bool:
    """The variable ``name``, on or off. Raises ``ImproperlyConfigured`` for what is neither."""
    text = os.environ.get(name)
    if text is None:
        return default
    if text.lower() not in FLAGS:
        raise _wrong(name, text, "1 or 0")
    return FLAGS[text.lower()]


def whole(name: str, *, default: int, least: int = 0, most: int = 2**53) -> int:
    """The variable ``name``, a whole number from ``least`` to ``most``. Raises ``ImproperlyConfigured`` for others."""
    return _read(name, default, _WHOLE, int, f"a whole number from {least} to {most}", lambda n: least <= n <= most)


def number(name: str, *, default: float, most: float, above: float | None = None) -> float:
    """The variable ``name``, a number from 0 to ``most``; only those over ``above`` where that is given.

    Raises ``ImproperlyConfigured`` for any other text, also one with a unit.
    """
    wanted = f"a number from 0 to {most:g}" if above is None else f"a number above {above:g}, at most {most:g}"
    return _read(
        name, default, _NUMBER, float, wanted, lambda n: (n >= 0 if above is None else n > above) and n <= most
    )


def listed(name: str, *, default: Sequence[str] = (), of: Callable[[str], object] | None = None) -> list[str]:
    """The members of the variable ``name``, between commas, without the blanks around them; empty ones are left out.

    ``of`` raises ``ValueError`` for a member that is wrong. Raises ``ImproperlyConfigured`` for that.
    """
    text = os.environ.get(name)
    if text is None:
        return list(default)
    found = [member.strip() for member in text.split(",") if member.strip()]
    for member in found:
        try:
            if of is not None:
                of(member)
        except ValueError as exc:
            raise ImproperlyConfigured(f"{name} is a list with commas between its members. {exc}") from None
    return found


def word(member: str) -> str:
    """``member``, if it is one word. Raises ``ValueError`` for one with blanks in it: a comma is missing there."""
    if len(member.split()) != 1:
        raise ValueError(f"{member!r} has blanks in it.")
    return member


def _read(
    name: str,
    default: _Number,
    spelling: re.Pattern[str],
    read: Callable[[str], _Number],
    wanted: str,
    fits: Callable[[_Number], bool],
) -> _Number:
    text = os.environ.get(name)
    if text is None:
        return default
    value = read(text) if spelling.fullmatch(text) else None
    if value is None or not math.isfinite(value) or not fits(value):
        raise _wrong(name, text, wanted)
    return value


def _wrong(name: str, text: str, wanted: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} is {text!r}. Set it to {wanted}.")
