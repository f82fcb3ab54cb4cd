"""The pages with the form of a connection: add, change, test, and filling it from a URL."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    RawPostDataException,
)
from django.shortcuts import render
from django.utils.translation import gettext as _

from connections.adapters.errors import AdapterError
from connections.admin import labels, rotating
from connections.admin.drafting import Drafting, adapter_of
from connections.admin.reports import Outcome, of_report
from connections.admin.settings_shown import rows
from connections.admin.visible import clipped, visible
from connections.admin.visits import Visit, url
from connections.models import Connection, Role
from connections.services import pasted, sources, state, status, uses
from connections.services.errors import CatalogueError, Invalid
from connections.services.sources import AdapterClass


def add(visit: Visit, source: str) -> HttpResponse:
    """The form of a new connection to ``source``."""
    adapter = _adapter(visit, source)
    drafting = Drafting(visit.actor, adapter, None, url("parse_url", source))
    outcome: Outcome | None = None
    if visit.request.method == "POST":
        drafting.read(visit.request)
        done = _act(visit, drafting)
        if isinstance(done, HttpResponse):
            return done
        outcome = done
    title = _("Add a connection: %(source)s") % {"source": adapter.label}
    return visit.page(
        "form.html",
        title,
        **_shown(drafting, outcome),
        was_sent=True,
        source=adapter,
        install=_missing_driver(adapter),
        test_url=url("test_new", source),
    )


def change(visit: Visit, connection: Connection) -> HttpResponse:
    """A connection: its form for editors, its settings as they are for others."""
    if not visit.actor.may(Role.EDITOR):
        return _read_only(visit, connection)
    rotation = rotating.act(visit, connection) if rotating.asked(visit) else rotating.panel(visit, connection)
    if isinstance(rotation, HttpResponse):
        return rotation
    connection = rotation.connection if rotation is not None else connection
    adapter = adapter_of(connection)
    # A source that is gone may have an id that no path takes.
    drafting = Drafting(visit.actor, adapter, connection, url("parse_url", adapter.id) if adapter is not None else "")
    outcome: Outcome | None = None
    is_sent = visit.request.method == "POST" and not rotating.asked(visit)
    if is_sent:
        drafting.read(visit.request)
        done = _act(visit, drafting)
        if isinstance(done, HttpResponse):
            return done
        outcome = done
    return visit.page(
        "form.html",
        connection.name,
        **_shown(drafting, outcome),
        **about(visit, connection),
        told_below=state.state(connection) == "invalid",
        was_sent=is_sent,
        source=adapter,
        install=_missing_driver(adapter) if adapter else "",
        test_url=url("test", connection.pk),
        rotation=rotation,
    )


def test_new(visit: Visit, source: str) -> HttpResponse:
    """The outcome of a check of what is typed, as a part of the page."""
    drafting = Drafting(visit.actor, _adapter(visit, source), None, "")
    drafting.read(visit.request)
    return fragment(visit.request, drafting.test())


def test(visit: Visit, connection: Connection) -> HttpResponse:
    """As ``test_new``, with the stored secrets of ``connection`` where none are typed."""
    drafting = Drafting(visit.actor, adapter_of(connection), connection, "")
    drafting.read(visit.request)
    return fragment(visit.request, drafting.test())


def parse_url(visit: Visit, source: str) -> HttpResponse:
    """The settings that a pasted URL spells, and the names of the secrets in it."""
    try:
        body = json.loads(visit.request.body)
        if not isinstance(body, dict):
            raise Invalid.at("", "Send a JSON object.")
        config, secrets = pasted.parse(_adapter(visit, source), body.get("url"))
    except (ValueError, RawPostDataException):  # the second for a form: its body was read for its token
        return JsonResponse({"detail": _("Send a JSON object.")}, status=400)
    except CatalogueError as exc:
        return JsonResponse({"detail": exc.message, "errors": [found.as_dict() for found in exc.problems]}, status=400)
    return JsonResponse({"config": config, "secrets": [".".join(path) for path in _paths(secrets)]})


def fragment(request: HttpRequest, outcome: Outcome) -> HttpResponse:
    return render(request, "admin/connections/outcome.html", {"outcome": outcome})


def about(visit: Visit, connection: Connection) -> dict[str, Any]:
    """What every page of one connection shows of it."""
    last, use = status.last(visit.actor, connection), uses.of(visit.actor, connection)
    return {
        "connection": connection,
        "source_label": labels.source_label(connection.source),
        "state_badge": labels.state_badge(connection),
        "status_badge": labels.status_badge(connection),
        "explanation": visible(state.explanation(connection)),
        "is_broken": state.state(connection) in state.BROKEN,
        "warnings": state.warnings(connection),
        "use": use,
        "used_by": clipped(visible(use.last_used_by), 80) if use is not None else "",
        "last": of_report(last) if last else None,
    }


def _act(visit: Visit, drafting: Drafting) -> Outcome | HttpResponse | None:
    """Do what the button says: fill, test, or save."""
    if drafting.fill_requested:
        drafting.fill()
        return None
    if "_test" in visit.request.POST:
        outcome = drafting.test()
        drafting.mark(outcome)
        return outcome
    saved = drafting.save()
    if saved is None:
        return None
    messages.success(visit.request, _("The connection %(name)s was saved.") % {"name": saved.name})
    if "_save_test" in visit.request.POST:
        _check(visit, saved)
        return HttpResponseRedirect(url("change", saved.pk) + "#status")
    if "_save_preview" in visit.request.POST:
        return HttpResponseRedirect(url("preview", saved.pk))
    return HttpResponseRedirect(url("change", saved.pk) if drafting.connection is None else url("changelist"))


def check_now(visit: Visit, connection: Connection) -> HttpResponse:
    """Check a saved connection, and show the outcome on its page."""
    _check(visit, connection)
    return HttpResponseRedirect(url("change", connection.pk) + "#status")


def _check(visit: Visit, connection: Connection) -> None:
    try:
        report = status.check(visit.actor, connection)
    except (CatalogueError, AdapterError) as exc:
        messages.error(visit.request, _("It could not be checked: %(why)s") % {"why": exc.message})
        return
    if report["ok"]:
        messages.success(visit.request, _("The connection works."))
    else:
        messages.warning(visit.request, _("The check failed. See below what it found."))


def _read_only(visit: Visit, connection: Connection) -> HttpResponse:
    if visit.request.method == "POST":
        visit.actor.require(Role.EDITOR)
    return visit.page("read.html", connection.name, **about(visit, connection), rows=rows(connection))


def _shown(drafting: Drafting, outcome: Outcome | None) -> dict[str, Any]:
    return {
        "details": drafting.details,
        "settings": drafting.settings,
        "has_errors": bool(drafting.details.errors or (drafting.settings is not None and drafting.settings.errors)),
        "filled": drafting.filled,
        "outcome": outcome,
    }


def _adapter(visit: Visit, source: str) -> AdapterClass:
    adapter = sources.find(source)
    if adapter is None or not sources.is_allowed(source, visit.actor.organisation):
        raise Http404
    return adapter


def _missing_driver(adapter: AdapterClass) -> str:
    """The line that installs the driver, empty where it is there."""
    return adapter.driver.install if adapter.driver is not None and not adapter.driver.available else ""


def _paths(nested: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in nested.items():
        found += _paths(value, (*prefix, name)) if isinstance(value, dict) else [(*prefix, name)]
    return found
