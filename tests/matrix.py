"""Who may ask what: the status of every route's answer, by method and caller.

Under each route stand its methods (``other`` for those that are not named) with the statuses that the callers of
``tests.routes`` get, in this order: nobody, the four roles of an organisation, an administrator of another one, and
a superuser who has entered it. In the admin the other organisation's administrator meets its own lists.
"""

from __future__ import annotations

from collections.abc import Collection

TABLE = r"""
/
    other            302 302 302 302 302 302 302
healthz
    other            200 200 200 200 200 200 200
readyz
    other            200 200 200 200 200 200 200
api/v1/sources/
    GET HEAD         401 200 200 200 200 200 200
    other            401 405 405 405 405 405 405
api/v1/sources/<str:source>/
    GET HEAD         401 200 200 200 200 200 200
    other            401 405 405 405 405 405 405
api/v1/sources/<str:source>/parse-url/
    POST             401 200 200 200 200 200 200
    other            401 405 405 405 405 405 405
api/v1/orgs/
    GET HEAD         401 200 200 200 200 200 200
    other            401 405 405 405 405 405 405
api/v1/orgs/<slug:org>/
    GET HEAD         401 200 200 200 200 404 200
    PATCH            401 403 403 403 200 404 403
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/
    GET HEAD         401 200 200 200 200 404 200
    POST             401 403 403 201 201 404 201
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/test/
    POST             401 403 403 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/
    GET HEAD         401 200 200 200 200 404 200
    PATCH            401 403 403 200 200 404 200
    DELETE           401 403 403 204 204 404 204
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/status/
    GET HEAD         401 200 200 200 200 404 200
    POST             401 403 200 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/status/history/
    GET HEAD         401 200 200 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/preview/
    POST             401 403 200 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/describe/
    POST             401 403 200 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/tables/
    GET HEAD         401 403 200 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/columns/
    GET HEAD         401 403 200 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/pause/
    POST             401 403 403 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/resume/
    POST             401 403 403 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/clone/
    POST             401 403 403 201 201 404 201
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/revisions/
    GET HEAD         401 200 200 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/revisions/<int:version>/restore/
    POST             401 403 403 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/secrets/stage/
    POST             401 403 403 200 200 404 200
    DELETE           401 403 403 204 204 404 204
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/secrets/promote/
    POST             401 403 403 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/connections/<slug:slug>/secrets/rollback/
    POST             401 403 403 200 200 404 200
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/previews/<str:request_id>/
    DELETE           401 403 204 204 204 404 204
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/members/
    GET HEAD         401 403 403 403 200 404 200
    POST             401 403 403 403 201 404 201
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/members/<uuid:member>/
    PATCH            401 403 403 403 200 404 200
    DELETE           401 403 403 403 204 404 204
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/api-keys/
    GET HEAD         401 403 403 403 200 404 200
    POST             401 403 403 403 201 404 400
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/api-keys/<uuid:key>/
    DELETE           401 403 403 403 204 404 204
    other            401 405 405 405 405 404 405
api/v1/orgs/<slug:org>/events/
    GET HEAD         401 403 403 403 200 404 200
    other            401 405 405 405 405 404 405
api/v1/schema/
    GET HEAD         200 200 200 200 200 200 200
    other            405 405 405 405 405 405 405
api/v1/docs/
    GET HEAD         200 200 200 200 200 200 200
    other            405 405 405 405 405 405 405
api/v1/
    other            404 404 404 404 404 404 404
admin/settings/
    GET HEAD         302 403 403 403 200 200 200
    POST             302 403 403 403 302 302 403
    other            302 403 403 403 405 405 405
admin/organisation/
    GET              302 302 302 302 302 302 302
    POST             302 404 404 404 404 404 404
    other            302 405 405 405 405 405 405
admin/
    other            302 200 200 200 200 200 200
admin/login/
    GET              200 302 302 302 302 302 302
    PATCH DELETE     405 405 405 405 405 405 405
    other            200 200 200 200 200 200 200
admin/logout/
    POST OPTIONS     302 200 200 200 200 200 200
    other            302 405 405 405 405 405 405
admin/password_change/
    PATCH DELETE     302 405 405 405 405 405 405
    other            302 200 200 200 200 200 200
admin/password_change/done/
    GET HEAD OPTIONS 302 200 200 200 200 200 200
    other            302 405 405 405 405 405 405
admin/jsi18n/
    GET HEAD OPTIONS 302 200 200 200 200 200 200
    other            302 405 405 405 405 405 405
admin/connections/connection/add/
    GET HEAD         302 403 403 200 200 200 200
    other            302 403 403 405 405 405 405
admin/connections/connection/add/<slug:source>/
    GET HEAD POST    302 403 403 200 200 200 200
    other            302 403 403 405 405 405 405
admin/connections/connection/add/<slug:source>/test/
    POST             302 403 403 200 200 200 200
    other            302 403 403 405 405 405 405
admin/connections/connection/add/<slug:source>/parse-url/
    POST             302 403 403 400 400 400 400
    other            302 403 403 405 405 405 405
admin/connections/connection/<uuid:pk>/change/
    GET HEAD         302 200 200 200 200 404 200
    POST             302 403 403 200 200 404 200
    other            302 405 405 405 405 404 405
admin/connections/connection/<uuid:pk>/test/
    POST             302 403 403 200 200 404 200
    other            302 403 403 405 405 404 405
admin/connections/connection/<uuid:pk>/check/
    POST             302 403 302 302 302 404 302
    other            302 403 405 405 405 404 405
admin/connections/connection/<uuid:pk>/preview/
    GET HEAD POST    302 403 200 200 200 404 200
    other            302 403 405 405 405 404 405
admin/connections/connection/<uuid:pk>/tables/
    POST             302 403 200 200 200 404 200
    other            302 403 405 405 405 404 405
admin/connections/connection/<uuid:pk>/export/
    POST             302 403 200 200 200 404 200
    other            302 403 405 405 405 404 405
admin/connections/connection/cancel/<slug:job>/
    POST             302 403 204 204 204 204 204
    other            302 403 405 405 405 405 405
admin/connections/connection/<uuid:pk>/history/
    GET HEAD         302 200 200 200 200 404 200
    other            302 405 405 405 405 404 405
admin/connections/connection/<uuid:pk>/history/<int:version>/restore/
    GET HEAD         302 403 403 200 200 404 200
    POST             302 403 403 302 302 404 302
    other            302 403 403 405 405 404 405
admin/connections/connection/<uuid:pk>/expiry/
    GET HEAD         302 403 403 200 200 404 200
    POST             302 403 403 302 302 404 302
    other            302 403 403 405 405 404 405
admin/connections/connection/<uuid:pk>/pause/
    GET HEAD         302 403 403 200 200 404 200
    POST             302 403 403 302 302 404 302
    other            302 403 403 405 405 404 405
admin/connections/connection/<uuid:pk>/resume/
    POST             302 403 403 302 302 404 302
    other            302 403 403 405 405 404 405
admin/connections/connection/<uuid:pk>/clone/
    GET HEAD POST    302 403 403 200 200 404 200
    other            302 403 403 405 405 404 405
admin/connections/connection/<uuid:pk>/delete/
    GET HEAD         302 403 403 200 200 404 200
    POST             302 403 403 302 302 404 302
    other            302 403 403 405 405 404 405
admin/connections/connection/
    other            302 200 200 200 200 200 200
admin/connections/apikey/
    other            302 403 403 403 200 200 200
admin/connections/apikey/add/
    other            302 403 403 403 200 200 200
admin/connections/apikey/<path:object_id>/history/
    other            302 404 404 404 404 404 404
admin/connections/apikey/<path:object_id>/delete/
    POST             302 403 403 403 302 404 302
    other            302 403 403 403 200 404 200
admin/connections/apikey/<path:object_id>/change/
    GET HEAD         302 403 403 403 302 404 302
    other            302 403 403 403 405 404 405
admin/connections/apikey/<path:object_id>/
    other            302 302 302 302 302 302 302
admin/connections/membership/
    other            302 403 403 403 200 200 200
admin/connections/membership/add/
    other            302 403 403 403 200 200 200
admin/connections/membership/<path:object_id>/history/
    other            302 404 404 404 404 404 404
admin/connections/membership/<path:object_id>/delete/
    POST             302 403 403 403 302 404 302
    other            302 403 403 403 200 404 200
admin/connections/membership/<path:object_id>/change/
    other            302 403 403 403 200 404 200
admin/connections/membership/<path:object_id>/
    other            302 302 302 302 302 302 302
admin/connections/event/export/
    POST             302 403 403 403 302 302 302
    other            302 403 403 403 405 405 405
admin/connections/event/
    other            302 403 403 403 200 200 200
admin/connections/event/add/
    other            302 403 403 403 403 403 403
admin/connections/event/<path:object_id>/history/
    other            302 404 404 404 404 404 404
admin/connections/event/<path:object_id>/delete/
    other            302 404 404 404 404 404 404
admin/connections/event/<path:object_id>/change/
    GET HEAD         302 403 403 403 200 404 200
    other            302 403 403 403 405 404 405
admin/connections/event/<path:object_id>/
    other            302 302 302 302 302 302 302
admin/connections/organisation/
    other            302 403 403 403 403 403 200
admin/connections/organisation/add/
    other            302 403 403 403 403 403 200
admin/connections/organisation/<path:object_id>/history/
    other            302 403 403 403 403 403 404
admin/connections/organisation/<path:object_id>/delete/
    other            302 403 403 403 403 403 403
admin/connections/organisation/<path:object_id>/change/
    other            302 403 403 403 403 403 200
admin/connections/organisation/<path:object_id>/
    other            302 302 302 302 302 302 302
admin/auth/user/<id>/password/
    other            302 403 403 403 403 403 200
admin/auth/user/
    other            302 403 403 403 403 403 200
admin/auth/user/add/
    other            302 403 403 403 403 403 200
admin/auth/user/<path:object_id>/history/
    other            302 403 403 403 403 403 200
admin/auth/user/<path:object_id>/delete/
    other            302 403 403 403 403 403 403
admin/auth/user/<path:object_id>/change/
    other            302 403 403 403 403 403 200
admin/auth/user/<path:object_id>/
    other            302 302 302 302 302 302 302
admin/^(?P<app_label>connections|auth)/$
    other            302 200 200 200 200 200 200
admin/(?P<url>.*)$
    other            302 404 404 404 404 404 404
"""


def read(methods: Collection[str]) -> dict[str, dict[str, tuple[int, ...]]]:
    """The table as statuses by route and method."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    route = ""
    for line in TABLE.strip().splitlines():
        if not line.startswith(" "):
            route = "" if line == "/" else line
            found[route] = {}
            continue
        words = line.split()
        named = [word for word in words if not word.isdecimal()]
        row = tuple(int(word) for word in words if word.isdecimal())
        asked = [method for method in methods if method not in found[route]] if named == ["other"] else named
        found[route] |= dict.fromkeys(asked, row)
    return {route: {method: rows[method] for method in methods if method in rows} for route, rows in found.items()}
