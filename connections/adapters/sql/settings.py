"""Kinds of settings that SQL sources share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("The text holds a NUL character.")
    return text


def _secret_without_nul(secret: SecretStr) -> SecretStr:
    _without_nul(secret.get_secret_value())
    return secret


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_without_nul)]
Password = Annotated[SecretStr, AfterValidator(_secret_without_nul)]
