"""What a source says about itself, before anything is connected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from connections.adapters.contract import Category, Driver
from connections.adapters.describe import describe_model
from connections.adapters.registry import registry
from connections.testing import fresh
from connections.testing.subject import TOPICS, Settings, Subject, about


class Identity(Subject):
    def test_the_suite_has_all_that_it_needs(self) -> None:
        left = self.still_owed()
        assert not left, f"{type(self).__name__} does not give these fixtures yet:\n" + "\n".join(left)

    def test_it_is_registered_under_its_modules_name(self) -> None:
        kind = self.adapter_class()
        assert registry[kind.id] is kind
        assert kind.__module__.rsplit(".", 1)[-1] == kind.id == self.source

    def test_its_attributes_are_complete(self) -> None:
        kind = self.adapter_class()
        assert kind.label.strip() == kind.label != ""
        assert isinstance(kind.category, Category)
        assert kind.__doc__, f"{kind.__name__} has no docstring: its first line introduces the source's page."
        assert kind.tested_against, "tested_against says how well this source is proven, and against what."
        assert {"preview", "describe"} <= set(kind.capabilities())

    @about("docs_url")
    def test_it_leads_to_the_vendors_documentation(self) -> None:
        docs_url = self.adapter_class().docs_url or ""
        assert docs_url.startswith("https://"), "docs_url is to be the https:// address of the vendor's documentation."

    @about("driver")
    def test_its_driver_says_how_it_is_installed(self) -> None:
        driver = self.adapter_class().driver
        assert isinstance(driver, Driver)
        assert driver.available
        assert driver.install == f"pip install '{driver.pip}'"

    @pytest.mark.parametrize("part", ["config_class", "query_class"])
    def test_its_schemas_are_json_schema(self, part: str) -> None:
        schema = getattr(self.adapter_class(), part).model_json_schema()
        Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema)) == schema

    def test_its_settings_and_queries_fit_their_schemas(self, settings: Settings, ordered_query: Settings) -> None:
        kind = self.adapter_class()
        for model, whole in ((kind.config_class, settings), (kind.query_class, ordered_query)):
            Draft202012Validator(model.model_json_schema()).validate(json.loads(json.dumps(whole)))

    def test_no_secret_is_inside_a_list(self) -> None:
        schema = self.adapter_class().config_class.model_json_schema()
        lists = [place for place in _objects(schema) if place.get("type") == "array"]
        assert not any(_has_secret(place, schema) for place in lists)

    def test_settings_that_it_does_not_know_are_refused_unseen(self, settings: Settings) -> None:
        with pytest.raises(ValidationError) as caught:
            self.adapter_class().config_class.model_validate({**settings, "extra_setting": "C4n4ry"})
        assert "C4n4ry" not in str(caught.value)

    def test_the_settings_that_decide_where_secrets_go_are_the_declared_ones(self) -> None:
        rows = describe_model(self.adapter_class().config_class)
        decide = [".".join(row.path) for row in rows if row.endpoint]
        assert tuple(dict.fromkeys(decide)) == self.endpoint_fields, (
            "Look at each of these. A setting that cannot send secrets elsewhere is marked endpoint: False in the "
            "source's Config; endpoint_fields of the conformance class lists the others."
        )

    def test_importing_it_loads_no_driver(self) -> None:
        kind = self.adapter_class()
        own = (kind.driver.module,) if kind.driver else ()
        loaded = fresh.loaded_by(
            f"from connections.adapters.registry import registry\nregistry[{self.source!r}].capabilities()",
            (*fresh.DRIVERS, *own),
        )
        assert loaded == []

    @about("driver")
    def test_a_missing_driver_is_a_state(self, settings: Settings) -> None:
        shown = fresh.run(_WITHOUT_DRIVER.format(source=self.source, settings=json.dumps(settings)))
        driver = self.adapter_class().driver
        assert driver is not None
        assert json.loads(shown) == {"available": False, "code": "driver_missing", "hint": driver.install, "steps": 0}

    def test_what_does_not_apply_is_what_the_source_lacks(self) -> None:
        kind = self.adapter_class()
        schema = kind.config_class.model_json_schema()
        assert all(reason.strip() for reason in self.not_applicable.values())
        has = {
            "docs_url": kind.docs_url is not None,
            "driver": kind.driver is not None,
            "network": kind.needs_network,
            "tables": "tables" in kind.capabilities(),
            "unicode_table": None if "tables" in kind.capabilities() else False,
            "parameters": kind.takes_parameters,
            "special_password": _has_secret(schema, schema),
        }
        for topic, present in has.items():
            if present is not None:
                lacks = topic in self.not_applicable
                assert lacks is not present, f"{self.source} {'has' if present else 'lacks'} {TOPICS[topic]}."


_WITHOUT_DRIVER = """
import json, sys
from connections.adapters.registry import registry
kind = registry[{source!r}]
sys.modules[kind.driver.module] = None
from connections.adapters.contract import Environment
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
adapter = kind(kind.config_class.model_validate(json.loads({settings!r})), Environment(EgressPolicy(loopback=True)))
steps = 0
try:
    for step in adapter.check(Deadline.after(5)):
        steps += 1
except AdapterError as error:
    print(json.dumps(dict(available=kind.driver.available, code=error.code, hint=error.hint, steps=steps)))
"""


def _objects(schema: Any) -> list[dict[str, Any]]:
    """Every object in a schema, at any depth."""
    if isinstance(schema, list):
        return [found for part in schema for found in _objects(part)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(found for part in schema.values() for found in _objects(part))]


def _has_secret(schema: Any, whole: dict[str, Any]) -> bool:
    """Whether a secret is in ``schema`` or in what it refers to."""
    seen: set[str] = set()
    waiting = [schema]
    while waiting:
        for place in _objects(waiting.pop()):
            if place.get("writeOnly"):
                return True
            name = str(place.get("$ref", "")).removeprefix("#/$defs/")
            if name and name not in seen:
                seen.add(name)
                waiting.append(whole["$defs"][name])
    return False


def secrets_of(settings: BaseModel) -> list[str]:
    """Every secret of validated settings, in the clear."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            found += secrets_of(value)
        elif isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif isinstance(value, SecretBytes):
            found.append(value.get_secret_value().decode(errors="replace"))
    return [secret for secret in found if secret]
