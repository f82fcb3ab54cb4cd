"""What was typed into the form of a connection: read, tried, saved. The services judge; this carries to and fro."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from connections.adapters.errors import AdapterError
from connections.adapters.schema import Path, Problem
from connections.admin.details import DetailsForm
from connections.admin.reports import Outcome, of_error, of_form_errors, of_report
from connections.forms import SettingsForm
from connections.forms.inputs import SetAt
from connections.models import Connection
from connections.services import connections, drafts, pasted, references, sources, status, upgrading, vault
from connections.services.actor import Actor
from connections.services.connections import Change
from connections.services.errors import CatalogueError, Conflict, Invalid, VersionConflict
from connections.services.sources import AdapterClass


class Drafting:
    """The two forms of one page: the details, and the settings of the source. Nothing is saved until ``save``.

    ``settings`` is None where the source is gone: then the details can still be changed.
    """

    def __init__(
        self, actor: Actor, adapter: AdapterClass | None, connection: Connection | None, parse_url: str
    ) -> None:
        self.actor = actor
        self.adapter = adapter
        self.connection = connection
        self.parse_url = parse_url
        self.details = DetailsForm(connection=connection)
        self.settings = self._settings()
        self.filled: str = ""
        if connection is not None and adapter is not None and self.settings is not None:
            self.settings.tell(drafts.outdated(adapter, connection))

    def read(self, request: HttpRequest) -> None:
        """Take what was sent."""
        self.details = DetailsForm(request.POST, connection=self.connection)
        self.settings = self._settings(data=request.POST, files=request.FILES)

    @property
    def fill_requested(self) -> bool:
        return self.settings is not None and self.settings.fill_requested

    def fill(self) -> None:
        """Fill the settings from the pasted URL, without JavaScript. What it holds of secrets is to be typed."""
        if self.adapter is None or self.settings is None:
            return
        url = self.settings.pasted_url
        self.details = DetailsForm(connection=self.connection) if self.connection else self._unbound_details()
        try:
            config, secrets = pasted.parse(self.adapter, url)
        except Invalid as exc:
            self.settings = self._settings()
            self.filled = exc.message
            return
        self.settings = self._settings(config=config)
        self.filled = _("The settings below are filled. The URL is forgotten.")
        if secrets:
            self.filled += " " + _("Enter its secrets below: they are never shown.")

    @property
    def is_valid(self) -> bool:
        """Both forms judged, so that all errors show at once."""
        return self.details.is_valid() & (self.settings is None or self.settings.is_valid())

    def save(self) -> Connection | None:
        """Save. None when something is wrong; the forms then say what."""
        if not self.is_valid:
            return None
        try:
            return self._update() if self.connection is not None else self._create()
        except (CatalogueError, AdapterError) as exc:
            self._refuse(exc)
            return None

    def test(self) -> Outcome:
        """Check what was typed, stored secrets merged by the service. Nothing is saved."""
        if self.settings is None or self.adapter is None:
            return of_error(Invalid(_("The source is not installed, so its settings cannot be tested.")))
        if not self.settings.is_valid():
            return of_form_errors(self._form_problems())
        try:
            return of_report(self._test(self.settings))
        except CatalogueError as exc:
            self.settings.add_problems(exc.problems)
            return of_error(exc)
        except AdapterError as exc:
            return of_error(exc)

    def mark(self, outcome: Outcome) -> None:
        """Put what a failed check says on the input it is about."""
        if self.settings is not None and self.settings.is_bound and outcome.pointer and outcome.mark == "failed":
            self.settings.add_problems([Problem(outcome.pointer, outcome.code, outcome.message)])

    # -----------------------------------------------------------------------------------------------------------

    def _settings(self, **more: Any) -> SettingsForm | None:
        if self.adapter is None:
            return None
        stored: dict[str, Any] = {}
        if self.connection is not None:
            stored = {"config": upgrading.config(self.connection), "secrets_set": set_at(self.connection)}
        stored["references"] = references_of(self.actor, self.connection)
        return SettingsForm(
            self.adapter.config_class, **{**stored, **more}, parse_url=self.parse_url, title=_("Connection")
        )

    def _unbound_details(self) -> DetailsForm:
        form = DetailsForm()
        form.initial = {name: self.details.data.get(name, "") for name in form.fields}
        return form

    def _create(self) -> Connection:
        assert self.adapter is not None and self.settings is not None  # noqa: S101, PT018
        config, secrets = self.settings.cleaned_settings()
        change = Change(**self._plain(), config=config, secrets=secrets)
        slug = self.details.cleaned_data["slug"] or None
        return connections.create(self.actor, self.adapter.id, change, slug=slug)

    def _update(self) -> Connection:
        assert self.connection is not None  # noqa: S101
        config, secrets = self._patch()
        change = Change(**self._plain(), config=config, secrets=secrets)
        return connections.update(self.actor, self.connection, change, version=self.details.cleaned_data.get("version"))

    def _patch(self) -> tuple[Any, Any]:
        """The change of the settings, or Nones: a rename needs neither settings that fit nor secrets that open."""
        if self.settings is None or self.connection is None or self.adapter is None:
            return None, None
        config, secrets = self.settings.cleaned_patch()
        if config or secrets or drafts.outdated(self.adapter, self.connection):
            return config, secrets
        return None, None

    def _plain(self) -> dict[str, Any]:
        return {
            name: self.details.cleaned_data[name] for name in ("name", "description", "tags", "environment", "probe")
        }

    def _test(self, form: SettingsForm) -> dict[str, Any]:
        if self.connection is not None:
            config, secrets = form.cleaned_patch()
            return status.test_changed(self.actor, self.connection, config, secrets)
        assert self.adapter is not None  # noqa: S101
        config, secrets = form.cleaned_settings()
        return status.test(self.actor, self.adapter.id, config, secrets)

    def _refuse(self, exc: CatalogueError | AdapterError) -> None:
        """Show a refusal where it belongs."""
        if isinstance(exc, Conflict) and "slug" in self.details.fields:
            self.details.add_error("slug", ValidationError(exc.message, code=exc.code))
            return
        problems = exc.problems if isinstance(exc, CatalogueError) else []
        others = self.details.add_problems(problems)
        if self.settings is not None and others:
            self.settings.add_problems(others)
        if exc.code == "reentry_required" and self.settings is not None:
            self.settings.add_problems([Problem("", exc.code, exc.message)])
        elif not problems:
            text = exc.message
            if isinstance(exc, VersionConflict):
                text = _("Somebody changed this connection meanwhile. Load the page again, and make your change anew.")
            self.details.add_error(None, ValidationError(text, code=exc.code))

    def _form_problems(self) -> list[Problem]:
        """The settings form's own errors, each with its place."""
        assert self.settings is not None  # noqa: S101
        found = []
        for name, errors in self.settings.errors.items():
            pointer = "" if name == NON_FIELD_ERRORS else f"#{self.settings[name].id_for_label}"
            label = "" if name == NON_FIELD_ERRORS else f"{self.settings.fields[name].label}: "
            found += [Problem(pointer, "invalid", f"{label}{error}") for error in errors]
        return found


def adapter_of(connection: Connection) -> AdapterClass | None:
    """The source of a connection for changing its settings, or None where it is gone or not allowed."""
    try:
        return sources.editable(connection.source, connection.organisation)
    except CatalogueError:
        return None


def references_of(actor: Actor, connection: Connection | None) -> dict[Path, str] | None:
    """Where stored secrets are kept elsewhere; None when there are none and none may be."""
    kept = vault.references_of(connection) if connection is not None else {}
    if not kept and not references.any_for(actor.organisation):
        return None
    return {tuple(name.split(".")): place for name, place in kept.items()}


def set_at(connection: Connection) -> dict[Path, SetAt]:
    """Which secrets are set, and since when."""
    names = vault.names(connection)
    return {tuple(name.split(".")): parse_datetime(moment) or True for name, moment in names.items()}
