"""Saving a page that nobody touched changes nothing, whatever is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.forms import JSONField
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from connections.adapters import schema
from connections.adapters.network import NetworkConfig, TLSMode
from connections.adapters.registry import registry
from connections.adapters.shapes import Kind, Shape, shape
from connections.forms import SettingsForm
from tests.forms.page import rendered
from tests.forms.toys import MINIMAL, ToyConfig

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
WORD = st.text("abcxyz019é<&\"'", min_size=1, max_size=8)
HOST = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True)
GOOD = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TUNNEL = st.fixed_dictionaries(
    {
        "host": HOST,
        "user": WORD,
        "host_key": WORD,
        "auth": st.sampled_from([{"kind": "password"}, {"kind": "key"}]),
    },
    optional={"port": st.integers(1, 65535)},
)
NETWORK: dict[str, st.SearchStrategy[Any]] = {
    "host": HOST,
    "port": st.integers(1, 65535),
    "tls": st.fixed_dictionaries({"mode": st.sampled_from([*TLSMode])}, optional={"ca": TEXT}),
    "tunnel": st.none() | TUNNEL,
    "connect_timeout": st.floats(1, 60),
    "retry": st.fixed_dictionaries({"attempts": st.integers(1, 5), "delay": st.floats(0, 10)}),
}
AUTH = st.one_of(
    st.just({"kind": "none"}),
    st.fixed_dictionaries({"kind": st.just("key_pair"), "user": TEXT}),
)
TOY = {
    **NETWORK,
    "database": TEXT,
    "auth": AUTH,
    "zone": st.sampled_from(["eu", "north-america"]),
    "mode": st.sampled_from(["fast", "safe", None]),
    "level": st.sampled_from([1, 2, 3]),
    "delimiter": st.sampled_from([",", ";", "\t"]),
    "quote": TEXT,
    "read_only": st.booleans(),
    "lazy": st.sampled_from([True, False, None]),
    "headers": st.dictionaries(WORD, TEXT, max_size=5),
    "ports": st.lists(st.integers(-(2**70), 2**70), max_size=6),
    "pages": st.lists(st.fixed_dictionaries({"name": WORD, "size": st.integers(1), "wrap": st.booleans()}), max_size=3),
    "target": TEXT | st.lists(TEXT),
    "options": st.dictionaries(WORD, TEXT | st.integers() | st.lists(st.integers()) | st.none(), max_size=3),
    "anything": st.dictionaries(TEXT, st.recursive(st.none() | st.booleans() | st.integers() | TEXT, st.lists)),
    "notes": st.none() | TEXT,
    "deep": st.none()
    | st.fixed_dictionaries(
        {"deepest": st.fixed_dictionaries({"factor": st.floats(0.01, 99), "words": st.lists(TEXT, max_size=3)})}
    ),
}


def stored(model: type[BaseModel], config: dict[str, Any]) -> dict[str, Any]:
    """``config`` as it is stored: validated, with its defaults."""
    return schema.split(model.model_validate(config))[0]


def submit_untouched(model: type[BaseModel], config: dict[str, Any], **options: Any) -> SettingsForm:
    page = rendered(SettingsForm(model, config=config, **options))
    form = SettingsForm(model, config=config, data=page.submitted(), **options)
    assert form.is_valid(), form.errors.as_json()
    return form


@GOOD
@given(st.fixed_dictionaries(NETWORK))
def test_an_untouched_network_source_is_saved_as_it_was(config):
    before = stored(NetworkConfig, config)
    form = submit_untouched(NetworkConfig, before)
    assert form.cleaned_settings() == (before, {})
    assert form.cleaned_patch() == ({}, {})


@pytest.mark.parametrize("name", ["database", "target"])
@pytest.mark.parametrize("text", ["\n", "one\ntwo", "\none"])
def test_the_lines_of_a_text_stay(name, text):
    before = stored(ToyConfig, {"host": "a", "port": 1, "database": "b", name: text})
    assert submit_untouched(ToyConfig, before).cleaned_settings() == (before, {})


@GOOD
@given(st.fixed_dictionaries(TOY))
def test_an_untouched_form_of_every_kind_of_setting_is_saved_as_it_was(config):
    before = stored(ToyConfig, config)
    form = submit_untouched(ToyConfig, before)
    assert form.cleaned_settings() == (before, {})
    assert form.cleaned_patch() == ({}, {})


def test_stored_secrets_are_kept_by_an_untouched_form():
    before = stored(ToyConfig, {**MINIMAL, "auth": {"kind": "basic", "user": "reader", "password": "hunter2"}})
    set_at = datetime(2026, 11, 3, tzinfo=UTC)
    form = submit_untouched(ToyConfig, before, secrets_set={("auth", "password"): set_at, ("password",): set_at})
    assert form.cleaned_settings() == (before, {})


def test_a_prefix_keeps_two_forms_apart():
    form = submit_untouched(ToyConfig, stored(ToyConfig, MINIMAL), prefix="other")
    assert form.cleaned_settings()[0]["database"] == "sales"


def test_settings_stored_before_a_default_existed_take_the_default():
    assert submit_untouched(ToyConfig, MINIMAL).cleaned_settings()[0] == stored(ToyConfig, MINIMAL)


def sample(kind: Shape, model: type[BaseModel], name: str) -> Any:
    """Some value that a required setting may take."""
    field = model.model_fields[name]
    if field.examples:
        return field.examples[0]
    if kind.kind is Kind.CHOICE:
        return kind.choices[0]
    if kind.kind in (Kind.INTEGER, Kind.NUMBER):
        return kind.bounds.ge if kind.bounds.ge is not None else 1
    if kind.kind is Kind.UNION:
        return {schema.discriminator(field): schema.tag(schema.models(field)[0], schema.discriminator(field) or "")}
    return {Kind.BOOLEAN: True, Kind.LIST: [], Kind.MAP: {}, Kind.RECORDS: []}.get(kind.kind, "x")


def samples(model: type[BaseModel]) -> dict[str, Any]:
    found = {}
    for name, field in model.model_fields.items():
        kind = shape(field)
        if not field.is_required():
            continue
        found[name] = sample(kind, model, name)
        nested = schema.branch(field, found[name] if kind.kind is Kind.UNION else {})
        if nested is not None:
            found[name] = {**(found[name] if kind.kind is Kind.UNION else {}), **samples(nested)}
    return found


@pytest.mark.parametrize("adapter", list(registry.healthy()), ids=lambda adapter: adapter.id)
def test_an_untouched_form_of_every_source_is_saved_as_it_was(adapter):
    before = stored(adapter.config_class, samples(adapter.config_class))
    form = submit_untouched(adapter.config_class, before)
    assert form.cleaned_settings() == (before, {})


@pytest.mark.parametrize("adapter", list(registry.healthy()), ids=lambda adapter: adapter.id)
def test_no_setting_of_a_source_needs_a_json_box(adapter):
    form = SettingsForm(adapter.config_class)
    boxes = [name for name, field in form.fields.items() if isinstance(field, JSONField)]
    assert boxes == []


@pytest.mark.parametrize("adapter", list(registry.healthy()), ids=lambda adapter: adapter.id)
def test_every_source_has_a_form_for_its_query(adapter):
    form = SettingsForm(adapter.query_class, part="query", title="Query")
    pointers = {
        str(control.attrs["data-pointer"]) for control in rendered(form).controls if "data-pointer" in control.attrs
    }
    assert all(pointer.startswith("/query/") for pointer in pointers)
    assert {pointer.split("/")[2] for pointer in pointers} <= set(adapter.query_class.model_fields)
