"""The base of every source's settings.

A source declares its settings once, as a pydantic model. Forms, JSON Schema, secret paths, the endpoint and the
documentation are derived from it. What a field may carry in ``json_schema_extra``:

    endpoint   False for a setting that does not decide where secrets go (database, user, timeouts).
               Everything else does, and changing it asks for the stored secrets again.
    section    the form's section; "Advanced" is folded.
    widget     "textarea" for long text, "pem" or "json" for a key file that is pasted or uploaded.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

ADVANCED = "Advanced"
SECURITY = "Security"
TUNNEL = "SSH tunnel"


class Settings(BaseModel):
    """A model whose errors never repeat what was entered, and which refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)


class Query(Settings):
    """What to read; each family has its own."""


class Retry(Settings):
    """How often a transient failure is tried again. A rejected login never is."""

    attempts: int = Field(2, title="Attempts", ge=1, le=5, description="Tries in all, the first included.")
    delay: float = Field(
        0.2, title="First delay", ge=0, le=10, description="Seconds; doubles with every try, with jitter."
    )


class Config(Settings):
    """The settings of one source. ``schema_version`` goes up when stored settings need an upgrade."""

    schema_version: ClassVar[int] = 1
    url_schemes: ClassVar[tuple[str, ...]] = ()
    """Schemes of connection URLs that ``parse_url`` understands."""

    retry: Annotated[
        Retry,
        Field(default_factory=Retry, title="Retries", json_schema_extra={"endpoint": False, "section": ADVANCED}),
    ]

    @classmethod
    def parse_url(cls, url: str) -> dict[str, Any]:
        """The settings that ``url`` spells, secrets in the clear. Raises ``ValueError`` without repeating it."""
        raise ValueError("This source has no connection URL.")
