"""The admin site."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _


class CatalogueAdminSite(admin.AdminSite):
    site_title = _("Connection catalogue")
    site_header = _("Connection catalogue")
    index_title = _("Your connections")
