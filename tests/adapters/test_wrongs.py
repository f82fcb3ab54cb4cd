"""What is wrong with a setting is said in words that fit below its input."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connections.adapters import schema


class Toy(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: int = Field(5432, ge=1, le=65535)
    delay: float = Field(0.5, ge=0, lt=10)
    name: str = Field("", max_length=3)
    words: list[str] = Field([], max_length=2)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"port": "hunter2"}, "Enter a whole number."),
        ({"port": 1.5}, "Enter a whole number."),
        ({"port": 0}, "At least 1."),
        ({"port": 99999}, "At most 65535."),
        ({"delay": "hunter2"}, "Enter a number."),
        ({"delay": -1}, "At least 0."),
        ({"delay": 10}, "Less than 10."),
        ({"name": "hunter2"}, "At most 3 characters."),
        ({"name": 7}, "Enter a text."),
        ({"words": ["hunter2"] * 3}, "At most 2 entries."),
        ({"hunter2": 1}, "This setting is not known."),
    ],
)
def test_a_wrong_setting_is_told_in_few_words_and_never_with_its_value(sent: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Toy.model_validate(sent)
    (problem,) = schema.problems(raised.value, Toy, config="/config", secrets="/secrets")
    assert problem.detail == said
