"""The paths of the REST contract, version 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.urls import URLPattern, URLResolver, include, path, re_path

from connections.api.documents import DocsView, SchemaView
from connections.api.views import connections, organisations, queries, revisions, rotation, sources, status

app_name = "api"

_connection: list[URLPattern] = [
    path("", connections.ConnectionDetail.as_view(), name="connection"),
    path("status/", status.StatusView.as_view(), name="status"),
    path("status/history/", status.StatusHistory.as_view(), name="status-history"),
    path("preview/", queries.PreviewView.as_view(), name="preview"),
    path("describe/", queries.DescribeView.as_view(), name="describe"),
    path("tables/", queries.TablesView.as_view(), name="tables"),
    path("columns/", queries.ColumnsView.as_view(), name="columns"),
    path("pause/", connections.PauseView.as_view(), name="pause"),
    path("resume/", connections.ResumeView.as_view(), name="resume"),
    path("clone/", connections.CloneView.as_view(), name="clone"),
    path("secrets/stage/", rotation.StageView.as_view(), name="stage"),
    path("secrets/promote/", rotation.PromoteView.as_view(), name="promote"),
    path("secrets/rollback/", rotation.RollbackView.as_view(), name="rollback"),
    path("revisions/", revisions.RevisionList.as_view(), name="revisions"),
    path("revisions/<int:version>/restore/", revisions.RestoreView.as_view(), name="restore"),
]
_organisation: list[URLPattern | URLResolver] = [
    path("", organisations.OrganisationDetail.as_view(), name="organisation"),
    path("connections/", connections.ConnectionList.as_view(), name="connections"),
    path("connections/test/", status.TestView.as_view(), name="test"),
    path("connections/<slug:slug>/", include(_connection)),
    path("previews/<str:request_id>/", queries.CancelView.as_view(), name="cancel"),
    path("members/", organisations.MemberList.as_view(), name="members"),
    path("members/<uuid:member>/", organisations.MemberDetail.as_view(), name="member"),
    path("api-keys/", organisations.KeyList.as_view(), name="api-keys"),
    path("api-keys/<uuid:key>/", organisations.KeyDetail.as_view(), name="api-key"),
    path("events/", organisations.EventList.as_view(), name="events"),
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("sources/", sources.SourceList.as_view(), name="sources"),
    path("sources/<str:source>/", sources.SourceDetail.as_view(), name="source"),
    path("sources/<str:source>/parse-url/", sources.ParseURL.as_view(), name="parse-url"),
    path("orgs/", organisations.OrganisationList.as_view(), name="organisations"),
    path("orgs/<slug:org>/", include(_organisation)),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(url_name="api:schema"), name="docs"),
    re_path("", organisations.NothingHere.as_view(), name="nothing"),
]


def _names(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[tuple[type, str]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif pattern.name:
            yield pattern.callback.view_class, pattern.name  # type: ignore[attr-defined]


NAMES: dict[type, str] = dict(_names(urlpatterns))
"""Each view's path name; every view has one path."""
