"""Which changes of a schema are safe for stored settings, and which need a new version with an upgrade."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr, create_model

from connections.adapters import snapshots
from connections.adapters.config import Config, Query, Settings
from connections.adapters.registry import registry
from connections.management.commands.schemas import faults
from connections.management.compatibility import differences
from tests.evolving.site.catalog_evolving.versions import FirstAdapter

ASIDE: Any = {"endpoint": False}


class Key(Settings):
    kind: Literal["key"] = "key"
    key: SecretStr


class Login(Settings):
    kind: Literal["login"] = "login"
    user: str
    password: SecretStr | None = None


class LoginOfThree(Settings):
    kind: Literal["login"] = "login"
    user: str
    realm: str
    password: SecretStr | None = None


class Certificate(Settings):
    kind: Literal["certificate"] = "certificate"


class Inner(Settings):
    depth: int = Field(3, ge=1, le=9)


class Shallow(Settings):
    depth: int = Field(3, ge=1, le=5)


OLD: dict[str, Any] = {
    "host": (str, Field(max_length=50, title="Host")),
    "port": (int, Field(80, ge=1, le=65535)),
    "ratio": (float, 0.5),
    "mode": (Literal["fast", "safe"], "safe"),
    "note": (str | None, Field(None, max_length=9, json_schema_extra=ASIDE)),
    "tags": (list[str], Field(default_factory=list, max_length=5)),
    "headers": (dict[str, str], Field(default_factory=dict)),
    "token": (SecretStr | None, None),
    "inner": (Inner, Field(default_factory=Inner)),
    "auth": (Annotated[Key | Login, Field(discriminator="kind")], ...),
}


def adapter_of(fields: dict[str, Any], *, query: dict[str, Any] | None = None, version: int = 1) -> Any:
    model = create_model("Model", __base__=Config, **fields)
    model.schema_version = version
    asked = create_model("Asked", __base__=Query, **({"table": (str, ...)} if query is None else query))
    return type("Changing", (FirstAdapter,), {"config_class": model, "query_class": asked, "id": "changing"})


def judged(**changed: Any) -> list[str]:
    fields = {name: field for name, field in {**OLD, **changed}.items() if field is not None}
    return differences(snapshots.of(adapter_of(OLD)), snapshots.of(adapter_of(fields)))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"host": (str, Field(max_length=50, title="Server", description="Told otherwise.", examples=["a"]))},
        {"host": (str, Field(max_length=60))},
        {"host": (str, "localhost")},
        {"port": (int, Field(80, ge=0, le=70000))},
        {"port": (float, Field(80, ge=1, le=65535))},
        {"port": (int | None, Field(80, ge=1, le=65535))},
        {"mode": (Literal["fast", "safe", "safest"], "safe")},
        {"mode": (str, "safe")},
        {"note": (str | None, Field(None, json_schema_extra=ASIDE))},
        {"tags": (list[str | int], Field(default_factory=list, max_length=5))},
        {"more": (str, "")},
        {"more": (SecretStr | None, None)},
        {"more": (Inner | None, None)},
        {"auth": (Annotated[Key | Login | Certificate, Field(discriminator="kind")], ...)},
    ],
)
def test_what_fits_stored_settings_needs_no_version(changed: dict[str, Any]) -> None:
    assert judged(**changed) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"host": None}, "config.host: is not there any more."),
        ({"token": None}, "config.token: is not there any more."),
        ({"host": None, "server": (str, ...)}, "config.server: must be given now."),
        ({"more": (str, ...)}, "config.more: must be given now."),
        ({"port": (int, ...)}, "config.port: must be given now."),
        ({"host": (int, ...)}, "config.host: the type was string and is integer."),
        ({"ratio": (int, 1)}, "config.ratio: the type was number and is integer."),
        ({"note": (str, Field("", json_schema_extra=ASIDE))}, "config.note: the type was null and is string."),
        ({"host": (str, Field(max_length=40))}, "config.host: maxLength was 50 and is 40."),
        ({"host": (str, Field(max_length=50, min_length=2))}, "config.host: minLength was not set and is 2."),
        ({"host": (str, Field(max_length=50, pattern="^a"))}, "config.host: pattern was not set and is ^a."),
        ({"port": (int, Field(80, ge=1, le=1024))}, "config.port: maximum was 65535 and is 1024."),
        ({"port": (int, Field(81, ge=1, le=65535))}, "config.port: the default was 80 and is 81."),
        ({"mode": (Literal["fast"], "fast")}, "config.mode: not all values of before are allowed."),
        ({"tags": (list[int], Field(default_factory=list, max_length=5))}, "config.tags[]: the type was string"),
        ({"tags": (list[str], Field(default_factory=lambda: ["a"], max_length=5))}, "config.tags: the default was []"),
        ({"headers": (dict[str, int], Field(default_factory=dict))}, "config.headers.*: the type was string"),
        ({"inner": (Shallow, Field(default_factory=Shallow))}, "config.inner.depth: maximum was 9 and is 5."),
        ({"token": (str | None, None)}, "config.token: is no secret any more."),
        ({"host": (SecretStr, ...)}, "config.host: is a secret now."),
        ({"host": (str, Field(max_length=50, json_schema_extra=ASIDE))}, "config.host: does not decide where"),
        ({"note": (str | None, Field(None, max_length=9))}, "config.note: decides where secrets go"),
        ({"auth": (Annotated[Key | Certificate, Field(discriminator="kind")], ...)}, "there is no login any more."),
        (
            {"auth": (Annotated[Key | LoginOfThree, Field(discriminator="kind")], ...)},
            "config.auth[login].realm: must be given now.",
        ),
    ],
)
def test_what_may_not_fit_is_told_with_its_place(changed: dict[str, Any], told: str) -> None:
    found = judged(**changed)
    assert any(told in sentence for sentence in found), found


def test_what_always_was_a_secret_is_not_told_to_be_one_now() -> None:
    found = judged(token=(SecretStr, ...))
    assert "config.token: must be given now." in found
    assert not [sentence for sentence in found if "secret" in sentence]


def test_queries_are_watched_like_settings() -> None:
    old, new = adapter_of(OLD), adapter_of(OLD, query={"path": (str, ...)})
    found = differences(snapshots.of(old), snapshots.of(new))
    assert found == ["query.table: is not there any more.", "query.path: must be given now."]


@pytest.mark.parametrize("source", sorted(registry))
def test_every_source_suits_itself(source: str) -> None:
    assert differences(snapshots.of(registry[source]), snapshots.of(registry[source])) == []


@pytest.fixture
def kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(snapshots, "folder", lambda adapter: tmp_path)

    def keep(adapter: Any) -> None:
        snapshots.file(adapter, adapter.config_class.schema_version).write_text(snapshots.text(snapshots.of(adapter)))

    return keep


def test_a_source_without_a_snapshot_is_told_to_write_one(kept: Any) -> None:
    assert list(faults(adapter_of(OLD))) == [
        "changing: version 1 has no snapshot. Run: manage.py schemas write changing"
    ]


def test_a_snapshot_that_fits_and_is_stale_is_told(kept: Any) -> None:
    kept(adapter_of(OLD))
    (told,) = faults(adapter_of({**OLD, "more": (str, "")}))
    assert "the snapshot of version 1 is stale" in told
    assert "manage.py schemas write changing" in told


def test_new_words_are_no_new_schema(kept: Any) -> None:
    kept(adapter_of(OLD))
    assert list(faults(adapter_of({**OLD, "host": (str, Field(max_length=50, title="Server"))}))) == []


def test_a_change_that_may_not_fit_tells_what_to_do(kept: Any) -> None:
    kept(adapter_of(OLD))
    told = "\n".join(faults(adapter_of({**OLD, "host": (str, Field(max_length=40))})))
    assert "config.host: maxLength was 50 and is 40." in told
    assert "Set schema_version = 2 in Model" in told
    assert "1: Upgrade(" in told


def test_a_new_version_needs_a_way_from_the_old_one(kept: Any) -> None:
    kept(adapter_of(OLD))
    raised = adapter_of({**OLD, "host": None}, version=2)
    told = list(faults(raised))
    assert told[0] == "changing: version 2 has no snapshot. Run: manage.py schemas write changing"
    assert "there is no way from 1 to 2. Add 1 to Changing.upgrades" in told[1]
    kept(raised)
    raised.upgrades = {1: FirstAdapter.upgrades.get(1, object())}
    assert list(faults(raised)) == []


def test_the_snapshot_of_an_old_version_is_missed(kept: Any) -> None:
    raised = adapter_of(OLD, version=2)
    raised.upgrades = {1: object()}
    kept(raised)
    (told,) = faults(raised)
    assert "the snapshot of version 1 is not there" in told
    assert "changing.1.json" in told


def test_a_version_that_was_taken_back_is_told(kept: Any) -> None:
    kept(adapter_of(OLD, version=2))
    kept(adapter_of(OLD))
    (told,) = faults(adapter_of(OLD))
    assert "version 2" in told
    assert "Raise schema_version or remove them." in told


@pytest.mark.parametrize(
    "config",
    [
        {"auth": {"kind": "login", "user": "u"}, "note": "n"},
        {"auth": {"kind": "key"}, "inner": {"depth": 2}},
        {"auth": {"kind": "other", "x": 1}},
        {"auth": "text", "inner": 3, "unknown": {}},
        {},
    ],
)
def test_a_snapshot_selects_the_endpoint_as_the_model_does(kept: Any, config: dict[str, Any]) -> None:
    first = adapter_of({"auth": OLD["auth"], "inner": (Inner | None, None), "note": OLD["note"]})
    kept(first)
    second = adapter_of({"host": (str, "h")}, version=2)
    snapshots._kept_fields.cache_clear()
    assert snapshots.endpoint(second, config, 1) == snapshots.endpoint(first, config, 1)
    assert snapshots.endpoint(second, config, 3) is None
