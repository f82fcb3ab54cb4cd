"""What the settings form shows, reads and refuses."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import translation
from django.utils.datastructures import MultiValueDict

from connections.adapters import schema
from connections.adapters.network import NetworkConfig
from connections.adapters.schema import Problem
from connections.forms import SettingsForm, initial_from_url
from tests.forms.page import Page, rendered
from tests.forms.toys import MINIMAL, Deep, ToyConfig

PEM = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
CANARY = "canary-7f3a9c"
SET_AT = datetime(2026, 11, 3, 12, tzinfo=UTC)
BASIC: dict[str, Any] = {**MINIMAL, "auth": {"kind": "basic", "user": "reader"}}
STORED_BASIC: dict[str, Any] = {"config": BASIC, "secrets_set": {("auth", "password"): SET_AT}}


def blank(**options: Any) -> SettingsForm:
    return SettingsForm(ToyConfig, **options)


def posted(changes: dict[str, Any], *, files: dict[str, Any] | None = None, **options: Any) -> SettingsForm:
    """The form sent back with ``changes`` made to its inputs; None unticks, a list makes rows."""
    options = {"config": MINIMAL, **options}
    data = rendered(blank(**options)).submitted()
    for name, value in changes.items():
        if value is None:
            data.pop(name, None)
        else:
            data.setlist(name, value if isinstance(value, list) else [value])
    return blank(data=data, files=MultiValueDict({name: [file] for name, file in (files or {}).items()}), **options)


def saved(form: SettingsForm) -> tuple[dict[str, Any], dict[str, Any]]:
    assert form.is_valid(), form.errors.as_json()
    return form.cleaned_settings()


def offered(form: SettingsForm, name: str) -> list[str]:
    """The labels of a select's choices."""
    return [str(option.choice_label) for option in form[name].subwidgets]


# What is shown ---------------------------------------------------------------------------------------------------


def test_settings_stand_in_the_order_of_the_schema():
    names = [name for name in blank().fields if name != "url" and name.count("__") == 1 and "-" not in name]
    order = [name for name in ToyConfig.model_fields if f"config__{name}" in names or f"secrets__{name}" in names]
    assert [name.split("__")[1] for name in names] == order


def test_advanced_is_the_last_section_and_folded():
    sections = blank(config=MINIMAL).sections()
    assert [str(section.title) for section in sections] == ["Connection", "Security", "SSH tunnel", "Advanced"]
    assert [section.folded for section in sections] == [False, False, False, True]
    assert not sections[-1].open


def test_advanced_is_open_when_it_holds_another_value_than_the_default():
    assert blank(config={**MINIMAL, "fetch_size": 7}).sections()[-1].open


def test_advanced_is_open_when_it_holds_an_error():
    form = posted({"config__fetch_size": "0"})
    assert "config__fetch_size" in form.errors
    assert form.sections()[-1].open


def test_titles_descriptions_examples_and_bounds_reach_the_input():
    page = rendered(blank())
    database = page.control("config__database")
    assert database.attrs["placeholder"] == "sales & co"
    assert database.attrs["maxlength"] == "63"
    assert "required" in database.attrs
    assert ("label", "id_config__database") in [(tag, attrs.get("for")) for tag, attrs in page.elements]
    assert database.attrs["aria-describedby"] == "id_config__database_helptext"
    port = page.control("config__port")
    assert (port.attrs["type"], port.attrs["min"], port.attrs["max"], port.value) == ("number", "1", "65535", "4321")


def test_markup_in_a_description_is_text():
    html = rendered(blank()).html
    assert "Its &lt;b&gt;name&lt;/b&gt;." in html
    assert "<b>" not in html


def test_choices_have_readable_labels():
    form = blank()
    assert offered(form, "config__zone") == ["Eu", "North america"]
    assert offered(form, "config__delimiter") == ["Comma", "Semicolon", "Tab"]
    assert offered(form, "config__lazy") == ["Not set", "Yes", "No"]
    assert offered(form, "config__auth__kind") == ["User and password", "Key pair", "None"]


def test_a_stored_choice_that_is_no_longer_offered_is_not_replaced_silently():
    form = posted({}, config={**MINIMAL, "zone": "mars"})
    assert form.errors.keys() == {"config__zone"}


def test_every_input_has_a_name_for_screen_readers():
    page = rendered(blank(config=BASIC, secrets_set={("auth", "password"): SET_AT}))
    labelled = {attrs.get("for") for tag, attrs in page.elements if tag == "label"}
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for control in page.controls:
        wrapped = control.attrs.get("type") in ("radio", "file")
        assert wrapped or control.attrs.get("aria-label") or control.attrs.get("id") in labelled, control.name
    for _, attrs in page.elements:
        for target in (attrs.get("aria-describedby") or "").split():
            assert target in ids, target


def test_nothing_on_the_page_is_inline_script_or_style():
    page = rendered(blank(config=MINIMAL))
    for tag, attrs in page.elements:
        assert tag not in ("script", "style")
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]


def test_labels_come_out_in_the_readers_language():
    form = blank()
    with translation.override("de"):
        assert str(form["secrets__password"].label) == "Passwort"
    with translation.override("en"):
        assert str(form["secrets__password"].label) == "Password"


# What is read ----------------------------------------------------------------------------------------------------


def test_only_the_chosen_branch_is_read():
    form = posted(
        {
            "config__auth__kind": "key_pair",
            "config__auth__basic__user": "nobody",
            "secrets__auth__basic__password": "typed in the wrong place",
            "config__auth__key_pair__user": "reader",
            "secrets__auth__key_pair__private_key": PEM,
        }
    )
    config, secrets = saved(form)
    assert config["auth"] == {"kind": "key_pair", "user": "reader"}
    assert secrets == {"auth": {"private_key": PEM}}


def test_what_is_wrong_in_a_branch_that_is_not_chosen_does_not_count():
    assert saved(posted({"config__tunnel__port": "many", "config__deep__deepest__factor": "x"}))


def test_an_optional_group_is_read_when_its_box_is_ticked():
    changes = {
        "config__tunnel-use": "on",
        "config__tunnel__host": " bastion.example.com ",
        "config__tunnel__user": "jump",
        "config__tunnel__host_key": "ssh-ed25519 AAAA",
        "config__tunnel__auth__kind": "password",
        "secrets__tunnel__auth__password__password": "hunter2",
    }
    config, secrets = saved(posted(changes))
    assert config["tunnel"]["host"] == "bastion.example.com"
    assert config["tunnel"]["port"] == 22
    assert secrets == {"tunnel": {"auth": {"password": "hunter2"}}}
    form = posted({"config__tunnel-use": None}, config=config)
    assert "tunnel" not in saved(form)[0]
    assert form.cleaned_patch()[0] == {"tunnel": None}


def test_rows_become_lists_maps_and_records():
    form = posted(
        {
            "config__ports": ["80", "", "443"],
            "config__headers-key": ["X-One", "", "X-Two"],
            "config__headers-value": ["1", "", ""],
            "config__pages-name": ["first", "second"],
            "config__pages-size": ["", "20"],
            "config__pages-wrap": ["", "true"],
        }
    )
    config, _ = saved(form)
    assert config["ports"] == [80, 443]
    assert config["headers"] == {"X-One": "1", "X-Two": ""}
    assert config["pages"] == [{"name": "first"}, {"name": "second", "size": 20, "wrap": True}]


def test_a_setting_that_is_text_or_a_list_takes_both():
    assert saved(posted({"config__target": "orders/[1]"}))[0]["target"] == "orders/[1]"
    assert saved(posted({"config__target": '["a", "b"]'}))[0]["target"] == ["a", "b"]
    rows = {"config__options-key": ["one", "two"], "config__options-value": ["1", "[1, 2]"]}
    assert saved(posted(rows))[0]["options"] == {"one": "1", "two": [1, 2]}
    stored = {**MINIMAL, "options": {"one": 1, "two": 2}}
    rows = {"config__options-key": ["one", "two"], "config__options-value": ["1", "3"]}
    assert saved(posted(rows, config=stored))[0]["options"] == {"one": 1, "two": "3"}


def test_an_optional_setting_that_is_emptied_is_left_out_and_null_in_the_patch():
    form = posted({"config__user": ""}, config={**MINIMAL, "user": "reader"})
    assert "user" not in saved(form)[0]
    assert form.cleaned_patch()[0]["user"] is None


def test_a_patch_takes_another_branch_whole():
    form = posted(
        {"config__auth__kind": "key_pair", "config__auth__key_pair__user": "reader"},
        config=schema.split(ToyConfig.model_validate({**BASIC, "auth": {**BASIC["auth"], "password": "x"}}))[0],
    )
    saved(form)
    assert form.cleaned_patch()[0] == {"auth": {"kind": "key_pair", "user": "reader"}}


def test_a_delimiter_may_be_a_space_but_a_name_is_stripped():
    config, _ = saved(posted({"config__quote": " ", "config__database": " orders "}))
    assert (config["quote"], config["database"]) == (" ", "orders")


def test_a_certificate_is_pasted_or_uploaded():
    config, _ = saved(posted({"config__tls__ca": PEM.replace("\n", "\r\n")}))
    assert config["tls"]["ca"] == PEM
    file = SimpleUploadedFile("ca.pem", PEM.encode())
    assert saved(posted({}, files={"config__tls__ca-file": file}))[0]["tls"]["ca"] == PEM


def test_a_key_file_is_uploaded_into_a_secret():
    file = SimpleUploadedFile("key.pem", PEM.encode())
    config = {**MINIMAL, "auth": {"kind": "key_pair", "user": "reader"}}
    form = posted({}, files={"secrets__auth__key_pair__private_key-file": file}, config=config)
    assert saved(form)[1] == {"auth": {"private_key": PEM}}
    assert form.is_multipart()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"A" * 70_000], ids=["binary", "too long"])
def test_a_file_that_is_no_key_is_refused_on_its_input(content):
    file = SimpleUploadedFile("key.pem", io.BytesIO(content).read())
    form = posted({}, files={"secrets__tls__key-file": file})
    assert form.errors.keys() == {"secrets__tls__key"}


# Secrets ---------------------------------------------------------------------------------------------------------


def test_a_stored_secret_is_kept_replaced_or_cleared():
    name = "secrets__auth__basic__password"
    assert saved(posted({}, **STORED_BASIC))[1] == {}
    assert saved(posted({name: " hunter3 "}, **STORED_BASIC))[1] == {"auth": {"password": " hunter3 "}}
    form = posted({f"{name}-action": "clear"}, **STORED_BASIC)
    assert form.errors.keys() == {name}  # this one is required; an optional one may go
    optional: dict[str, Any] = {"config": MINIMAL, "secrets_set": {("password",): SET_AT}}
    assert saved(posted({"secrets__password-action": "clear"}, **optional))[1] == {"password": None}


def test_the_state_of_a_stored_secret_is_shown():
    assert "Set on 3 Nov 2026." in rendered(blank(**STORED_BASIC)).html


def test_replace_without_a_value_and_clear_with_one_are_refused():
    name = "secrets__auth__basic__password"
    assert name in posted({f"{name}-action": "replace"}, **STORED_BASIC).errors
    assert name in posted({f"{name}-action": "clear", name: "x"}, **STORED_BASIC).errors


@pytest.mark.parametrize("mask", ["***", "********", "**********", "••••", "●●●●●●"])
def test_a_mask_is_refused(mask):
    form = posted({"secrets__password": mask})
    assert form.errors.keys() == {"secrets__password"}


def test_a_secret_of_the_branch_that_is_left_is_not_offered_to_be_kept():
    form = posted(
        {}, config={**MINIMAL, "auth": {"kind": "key_pair", "user": "r"}}, secrets_set={("auth", "password"): SET_AT}
    )
    assert "secrets__auth__basic__password-action" not in [control.name for control in rendered(form).controls]


def test_a_required_secret_that_is_stored_is_not_asked_for_again():
    page = rendered(blank(**STORED_BASIC))
    attrs = page.control("secrets__auth__basic__password").attrs
    assert "required" not in attrs
    assert "data-required" not in attrs


def test_a_typed_secret_is_not_rendered_again_and_the_input_says_so():
    form = posted(
        {
            "config__port": "none",
            "config__auth__kind": "key_pair",
            "secrets__password": CANARY,
            "secrets__auth__key_pair__private_key": CANARY,
            "url": f"toy://reader:{CANARY}@db/sales",
        },
        secrets_set={("password",): SET_AT},
    )
    assert not form.is_valid()
    page = rendered(form)
    assert CANARY not in page.html
    assert CANARY not in repr(form.errors.as_data()) + form.errors.as_json() + str(form.non_field_errors())
    assert page.html.count("Enter it again.") == 2
    described = page.control("secrets__password").attrs["aria-describedby"] or ""
    assert "id_secrets__password_again" in described


def test_secret_inputs_have_no_value_and_are_not_filled_by_the_browser():
    page = rendered(blank(**STORED_BASIC))
    passwords = [control for control in page.controls if control.attrs.get("type") == "password"]
    assert passwords
    for control in passwords:
        assert "value" not in control.attrs
        assert control.attrs["autocomplete"] == "new-password"
        assert control.attrs["spellcheck"] == "false"
    assert page.control("secrets__tls__key").value.strip() == ""


# Errors ----------------------------------------------------------------------------------------------------------

WRONG = {
    "config__port": "70000",
    "config__retries": "many",
    "config__zone": "mars",
    "config__ports": ["80", "x"],
    "config__anything": "{",
    "config__tls__mode": "sometimes",
    "config__connect_timeout": "0",
    "config__pages-size": ["0"],
    "config__database": "",
    "config__host": "not a host",
    "config__auth__kind": "magic",
}


@pytest.mark.parametrize("name", WRONG)
def test_every_error_is_on_its_input(name):
    form = posted({name: WRONG[name]})
    expected = name.removesuffix("-size")
    assert form.errors.keys() == {expected}
    page = rendered(form)
    assert page.errors[f"id_{expected}"]
    shown = [c for c in page.controls if c.name == expected and c.attrs.get("id")]
    for control in shown:
        assert control.attrs["aria-invalid"] == "true"
        assert f"id_{expected}_error" in (control.attrs["aria-describedby"] or "")


def test_a_required_setting_of_the_chosen_branch_is_asked_for():
    form = posted({"config__auth__kind": "basic"})
    assert form.errors.keys() == {"config__auth__basic__user", "secrets__auth__basic__password"}
    assert form.errors["config__auth__basic__user"] == ["This setting is required."]


def test_a_secret_that_the_model_refuses_is_marked_and_not_shown():
    form = posted(
        {
            "config__auth__kind": "key_pair",
            "config__auth__key_pair__user": "r",
            "secrets__auth__key_pair__private_key": CANARY,
        }
    )
    assert form.errors == {"secrets__auth__key_pair__private_key": ["This is not a PEM key."]}
    assert CANARY not in rendered(form).html


def test_an_error_of_the_whole_stands_at_the_head():
    form = posted({"config__user": "sales"})
    assert form.non_field_errors() == ["User and database must differ."]
    assert "User and database must differ." in rendered(form).html


def test_problems_of_a_service_go_to_their_inputs():
    form = posted({"config__headers-key": ["A"], "config__headers-value": ["1"]}, **STORED_BASIC)
    assert form.is_valid()
    form.add_problems(
        [
            Problem("/config/tls/ca", "invalid", "Not a certificate."),
            Problem("/secrets/auth/password", "reentry_required", "The host has changed. Enter the secret again."),
            Problem("/config/headers/A", "invalid", "Not a header."),
            Problem("/config/auth/kind", "invalid", "Not allowed."),
            Problem("/config/tunnel", "invalid", "Not from here."),
            Problem("/config/tls", "invalid", "Not complete."),
            Problem("/name", "invalid", "Taken."),
            Problem("", "invalid", "Not today."),
        ]
    )
    assert form.errors["config__tls__ca"] == ["Not a certificate."]
    assert form.errors["secrets__auth__basic__password"] == ["The host has changed. Enter the secret again."]
    assert form.errors["config__headers"] == ["Not a header."]
    assert form.errors["config__auth__kind"] == ["Not allowed."]
    assert form.errors["config__tunnel-use"] == ["Not from here."]
    assert form.non_field_errors() == ["Encryption (TLS): Not complete.", "Taken.", "Not today."]
    page = rendered(form)
    replace = [c for c in page.controls if c.attrs.get("type") == "radio" and "checked" in c.attrs]
    assert [c.value for c in replace] == ["replace"]


def test_settings_of_a_form_that_is_not_valid_cannot_be_taken():
    with pytest.raises(ValueError, match="not valid"):
        posted({"config__port": "x"}).cleaned_settings()


# URLs ------------------------------------------------------------------------------------------------------------


def test_a_url_becomes_settings_and_secrets_apart():
    config, secrets = initial_from_url(ToyConfig, "toy://reader:p%40ss@db.example.com/sales?sslmode=require")
    assert config == {
        "host": "db.example.com",
        "port": 4321,
        "user": "reader",
        "database": "sales",
        "tls": {"mode": "require"},
    }
    assert secrets == {"password": "p@ss"}


def test_fill_from_url_is_told_apart_from_saving():
    form = posted({"url": "toy://db/sales", "fill": "url"})
    assert form.fill_requested
    assert form.pasted_url == "toy://db/sales"


def test_a_url_left_in_the_box_is_not_ignored_silently():
    form = posted({"url": f"toy://r:{CANARY}@db/sales"})
    assert form.errors.keys() == {"url"}
    assert CANARY not in rendered(form).html


def test_a_source_without_urls_has_no_box():
    assert "url" not in SettingsForm(NetworkConfig).fields


def test_a_query_form_points_at_the_query():
    form = SettingsForm(Deep, part="query", title="Query")
    page = Page(rendered(form).html)
    assert page.control("query__deepest__factor").attrs["data-pointer"] == "/query/deepest/factor"
    bound = SettingsForm(Deep, part="query", data=page.submitted())
    assert bound.is_valid()
    assert bound.cleaned_settings()[0] == {"deepest": {"factor": 1.5, "words": []}, "auth": {"kind": "none"}}


# Secrets that are kept elsewhere -----------------------------------------------------------------------------------


def test_where_nothing_may_be_kept_elsewhere_no_place_is_asked_for():
    assert "secrets__auth__basic__password-ref" not in [
        control.name for control in rendered(blank(config=BASIC)).controls
    ]


def test_a_place_is_entered_instead_of_a_secret_and_is_shown_again():
    name = "secrets__auth__basic__password"
    form = posted({f"{name}-ref": " env:ACME_PASSWORD "}, config=BASIC, references={})
    assert saved(form)[1] == {"auth": {"password": {"ref": "env:ACME_PASSWORD"}}}
    assert rendered(form).control(f"{name}-ref").value == "env:ACME_PASSWORD"
    assert "required" not in rendered(form).control(name).attrs


def test_a_place_for_a_secret_that_the_model_judges_is_not_judged_itself():
    config = {**MINIMAL, "auth": {"kind": "key_pair", "user": "r"}}
    form = posted({"secrets__auth__key_pair__private_key-ref": "file:acme/key.pem"}, config=config, references={})
    assert saved(form)[1] == {"auth": {"private_key": {"ref": "file:acme/key.pem"}}}


def test_a_secret_and_a_place_are_not_both_taken_and_the_secret_is_not_shown():
    name = "secrets__auth__basic__password"
    form = posted({name: CANARY, f"{name}-ref": "env:ACME_PASSWORD"}, config=BASIC, references={})
    assert form.errors.keys() == {name}
    assert CANARY not in str(form.errors.as_json()) + rendered(form).html


def test_a_stored_place_is_shown_kept_replaced_or_cleared():
    name = "secrets__auth__basic__password"
    stored: dict[str, Any] = {**STORED_BASIC, "references": {("auth", "password"): "env:ACME_<b>"}}
    assert "Kept at <code>env:ACME_&lt;b&gt;</code>." in rendered(blank(**stored)).html
    assert saved(posted({}, **stored))[1] == {}
    change = {f"{name}-action": "replace", f"{name}-ref": "file:acme/password"}
    assert saved(posted(change, **stored))[1] == {"auth": {"password": {"ref": "file:acme/password"}}}
    assert saved(posted({f"{name}-action": "replace", name: "typed"}, **stored))[1] == {"auth": {"password": "typed"}}
    both = posted({f"{name}-action": "clear", f"{name}-ref": "env:A"}, **stored)
    assert both.errors.keys() == {name}
