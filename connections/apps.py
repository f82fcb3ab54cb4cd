"""How Django finds the app, and the admin site that it brings."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as StockAdminConfig
from django.core import checks
from django.db.models.signals import post_migrate, pre_migrate


class ConnectionsConfig(AppConfig):
    name = "connections"
    default = True

    def ready(self) -> None:
        from connections.models import row_security, triggers
        from connections.sealing.checks import check_keys
        from connections.services import waiting, walls
        from connections.services.system_checks import check_references, check_row_security, check_sources, check_ties

        checks.register(check_keys, checks.Tags.security)
        checks.register(check_sources)
        checks.register(check_references)
        checks.register(check_ties, checks.Tags.database)
        checks.register(check_row_security, checks.Tags.database)
        pre_migrate.connect(triggers.stand_aside, sender=self)
        post_migrate.connect(triggers.stand_again, sender=self)
        post_migrate.connect(row_security.extend, sender=self)
        waiting.connect()
        walls.connect()


class AdminConfig(StockAdminConfig):
    default = False
    default_site = "connections.admin.site.CatalogueAdminSite"

    def ready(self) -> None:
        super().ready()
        # Here and not on import: the site is made while its package is being imported, and would be made twice.
        from django.contrib.admin import site

        from connections.admin.pages import register
        from connections.services.system_checks import check_pages

        checks.register(check_pages)
        register(site)
