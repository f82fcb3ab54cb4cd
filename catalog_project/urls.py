"""The deployment's paths."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from connections.api.views.health import healthz, readyz

handler500 = "catalog_project.failures.server_error"
handler400 = "catalog_project.failures.bad_request"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("api/v1/", include("connections.api.urls")),
    path("admin/", admin.site.urls),
]
