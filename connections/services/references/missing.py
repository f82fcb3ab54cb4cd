"""What a place says that has no value for a reference."""

from __future__ import annotations

from connections.adapters.errors import FixableBy


class Missing(Exception):
    """``where`` says which place was searched and what was not there. It never holds a value."""

    def __init__(self, where: str, *, fixable_by: FixableBy = "platform", transient: bool = False) -> None:
        super().__init__(where)
        self.where = where
        self.fixable_by: FixableBy = fixable_by
        self.transient = transient
