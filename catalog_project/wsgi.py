"""The WSGI application. It refuses to start without usable keys: a worker runs no system checks."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "catalog_project.settings")

from django.core.wsgi import get_wsgi_application

django = get_wsgi_application()

from connections.api.aborting import Aborting  # noqa: E402  they need the settings
from connections.api.wsgi import ShortWay  # noqa: E402
from connections.sealing.checks import require_keys  # noqa: E402

require_keys()
application = ShortWay(Aborting(django))
