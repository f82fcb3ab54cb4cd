"""The variables that the settings read, set for tests before Django reads them. Loaded by pytest's ``-p``.

Keys are new in each process: no test can lean on one.
"""

import base64
import os
import secrets
import shutil
import tempfile
from atexit import register

_files = tempfile.mkdtemp(prefix="catalogue-files-")
register(shutil.rmtree, _files, ignore_errors=True)

os.environ.update(
    CATALOG_ENV="development",
    CATALOG_DEBUG="0",
    CATALOG_SECRET_KEY=secrets.token_urlsafe(48),
    CATALOG_KEYS="k1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    CATALOG_ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
    CATALOG_EGRESS_ALLOW="127.0.0.0/8",
    CATALOG_EGRESS_LOOPBACK="1",
    CATALOG_FILES_ROOT=_files,
    CATALOG_RUNTIME_FOLDER=os.path.join(_files, "run"),
    # Tests hold their rows in transactions that no other thread sees; those about this set it themselves.
    CATALOG_RECHECK_SECONDS="3600",
    CATALOG_USE_INTERVAL="0",  # no thread writes behind a test's back
    CATALOG_ENDS_INTERVAL="0",
)
# DATABASE_URL chooses the catalogue's own database: `DATABASE_URL=postgresql://… make test` tests on PostgreSQL.
os.environ.setdefault("DATABASE_URL", "sqlite:///" + os.path.join(_files, "catalogue.sqlite3"))
# Browser tests talk to the live server while Playwright's event loop runs in the same thread.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
