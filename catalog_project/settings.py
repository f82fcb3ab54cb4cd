"""Settings of a deployment. ``docs/operations.md`` has the table of the variables."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from catalog_project.environment import (
    BASE_DIR,
    database,
    env,
    flag,
    listed,
    load,
    number,
    one_of,
    required,
    runtime_folder,
    whole,
    word,
)
from connections.adapters.egress import Opening
from connections.sealing.keyring import KeyText
from connections.sealing.openbao import require_address

load()

_DAY = 86_400  # seconds
PRODUCTION = one_of("CATALOG_ENV", ("production", "development"), default="production") == "production"
DEBUG = flag("CATALOG_DEBUG", default=False)
SECRET_KEY = required("CATALOG_SECRET_KEY", "Django signs sessions with it: at least 50 random characters.")
ALLOWED_HOSTS = listed("CATALOG_ALLOWED_HOSTS", default=[], of=word)
CSRF_TRUSTED_ORIGINS = listed("CATALOG_TRUSTED_ORIGINS", default=[], of=word)

# What the catalogue seals secrets with: "id:base64url,id:base64url", the last one the newest.
CATALOG_KEYS = KeyText(
    required(
        "CATALOG_KEYS",
        "Secrets are sealed with these keys. Make one with: python -m connections.sealing.keyring k1",
    )
)
CATALOG_RUNNER = one_of("CATALOG_RUNNER", ("local", "inline"), default="local")
# Where this host's processes meet. It holds sockets and locks, so it is on a file system of this host.
CATALOG_RUNTIME_FOLDER = env.str("CATALOG_RUNTIME_FOLDER", default=runtime_folder())
CATALOG_SITE = env.str("CATALOG_SITE", default="local")  # where checks run, as shown with each of them
CATALOG_FILES_ROOT = env.str("CATALOG_FILES_ROOT", default=str(BASE_DIR / "var" / "files"))
CATALOG_SOURCES = listed("CATALOG_SOURCES", default=[], of=word)  # allow-list of source ids; empty allows all
# Networks open to every organisation.
CATALOG_EGRESS_ALLOW = listed("CATALOG_EGRESS_ALLOW", default=[], of=Opening.parse)
# The catalogue's own services, closed to all.
CATALOG_EGRESS_OWN = listed("CATALOG_EGRESS_OWN", default=[], of=Opening.parse)
CATALOG_EGRESS_LOOPBACK = flag("CATALOG_EGRESS_LOOPBACK", default=False)
CATALOG_ALLOW_UNSAFE_ROLES = flag("CATALOG_ALLOW_UNSAFE_ROLES", default=False)
CATALOG_PREVIEW_TIMEOUT = number("CATALOG_PREVIEW_TIMEOUT", default=20.0, most=_DAY, above=0)
CATALOG_PREVIEW_TIMEOUT_MAX = number("CATALOG_PREVIEW_TIMEOUT_MAX", default=60.0, most=_DAY, above=0)
CATALOG_CHECK_TIMEOUT = number("CATALOG_CHECK_TIMEOUT", default=15.0, most=_DAY, above=0)
CATALOG_PREVIEW_BYTES = whole("CATALOG_PREVIEW_BYTES", default=8 * 1024 * 1024, least=1)
CATALOG_PREVIEW_ROWS = whole("CATALOG_PREVIEW_ROWS", default=10_000, least=1)
CATALOG_EXPORT_BYTES = whole("CATALOG_EXPORT_BYTES", default=256 * 1024 * 1024, least=1)
CATALOG_EXPORT_ROWS = whole("CATALOG_EXPORT_ROWS", default=1_000_000, least=1)
CATALOG_CELL_BYTES = whole("CATALOG_CELL_BYTES", default=1024 * 1024, least=1)
CATALOG_WORKER_BYTES = whole("CATALOG_WORKER_BYTES", default=512 * 1024 * 1024, least=1)
CATALOG_PREVIOUS_SECRETS_HOURS = number("CATALOG_PREVIOUS_SECRETS_HOURS", default=24.0, most=10 * 366 * 24)
CATALOG_CONNECTION_JOBS = whole("CATALOG_CONNECTION_JOBS", default=4, least=1)
CATALOG_ORGANISATION_JOBS = whole("CATALOG_ORGANISATION_JOBS", default=8, least=1)
CATALOG_HOST_JOBS = whole("CATALOG_HOST_JOBS", default=200, least=1)
# Between looks at the rights of long jobs.
CATALOG_RECHECK_SECONDS = number("CATALOG_RECHECK_SECONDS", default=1.0, most=_DAY, above=0)
# For each lock in the catalogue's own database.
CATALOG_LOCK_TIMEOUT = number("CATALOG_LOCK_TIMEOUT", default=10.0, most=3600, above=0)
# How long a superuser may look in.
CATALOG_VISIT_SECONDS = whole("CATALOG_VISIT_SECONDS", default=3600, least=1, most=366 * _DAY)
# Seconds until ends are on record; 0: at once.
CATALOG_ENDS_INTERVAL = number("CATALOG_ENDS_INTERVAL", default=0.25, most=3600)
CATALOG_EVENTS_KEEP_DAYS = whole("CATALOG_EVENTS_KEEP_DAYS", default=0, most=100 * 366)  # events are kept; 0: for ever
# Seconds between writes of how often; 0: none.
CATALOG_USE_INTERVAL = number("CATALOG_USE_INTERVAL", default=60.0, most=_DAY)

# Secrets that are kept elsewhere: which may be referred to, and where they are. The token of the vault is no setting.
CATALOG_REFERENCES = listed("CATALOG_REFERENCES", default=[])
CATALOG_REFERENCES_DIR = env.str("CATALOG_REFERENCES_DIR", default="")
CATALOG_REFERENCES_FRESH = whole("CATALOG_REFERENCES_FRESH", default=60, most=_DAY)
CATALOG_VAULT_URL = env.str("CATALOG_VAULT_URL", default="")
CATALOG_VAULT_CA = env.str("CATALOG_VAULT_CA", default="")
CATALOG_VAULT_NAMESPACE = env.str("CATALOG_VAULT_NAMESPACE", default="")
CATALOG_VAULT_TOKEN_FILE = env.str("CATALOG_VAULT_TOKEN_FILE", default="")
CATALOG_VAULT_MOUNTS = listed("CATALOG_VAULT_MOUNTS", default=["secret:2"], of=word)
CATALOG_VAULT_TIMEOUT = number("CATALOG_VAULT_TIMEOUT", default=3.0, most=3600, above=0)
CATALOG_TRANSIT_MOUNT = env.str("CATALOG_TRANSIT_MOUNT", default="transit")
CATALOG_TRANSIT_FRESH = number("CATALOG_TRANSIT_FRESH", default=300.0, most=_DAY)

if CATALOG_VAULT_URL:
    try:
        require_address(CATALOG_VAULT_URL, production=PRODUCTION)
    except ValueError as _exc:
        raise ImproperlyConfigured(str(_exc)) from None
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("CATALOG_DEBUG must be off in production: its pages show local variables.")
if PRODUCTION and CATALOG_EGRESS_LOOPBACK:
    raise ImproperlyConfigured(
        "CATALOG_EGRESS_LOOPBACK must be off in production: it lets customers reach the catalogue's own host."
    )

if PRODUCTION and CATALOG_RUNNER == "inline":
    raise ImproperlyConfigured("CATALOG_RUNNER must not be inline in production: it isolates nothing.")

INSTALLED_APPS = [
    "connections.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "axes",
    "connections.apps.ConnectionsConfig",
    *([] if PRODUCTION else ["catalog_project.demo"]),
]
MIDDLEWARE = [
    "connections.api.middleware.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
]
# What a request passes that comes with an API key. Sessions, CSRF, languages and logins are for browsers.
CATALOG_PROGRAM_MIDDLEWARE = [
    "connections.api.middleware.NoPage",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "catalog_project.urls"
DEFAULT_EXCEPTION_REPORTER = "connections.services.reporting.Reporter"  # shows nothing that was sent
WSGI_APPLICATION = "catalog_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "connections" / "templates"],  # a link to templates/; the wheel has the files themselves
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["connections.admin.crossing"],  # its csrf_token says whose page a form is on
        },
    }
]

(BASE_DIR / "var").mkdir(mode=0o700, exist_ok=True) if "DATABASE_URL" not in env.ENVIRON else None
_PREPARED = flag("CATALOG_PREPARED_STATEMENTS", default=True)  # off behind a pooler that shares sessions
DATABASES = {"default": database("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'var' / 'catalogue.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A write lock is taken at BEGIN, so that two writers wait for one another instead of failing midway.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": CATALOG_LOCK_TIMEOUT,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
            "PRAGMA recursive_triggers=ON;"  # or REPLACE would pass by the triggers that keep the record
        ),
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    if _PREPARED:
        DATABASES["default"].setdefault("OPTIONS", {}).setdefault("prepare_threshold", 5)
# Opening a connection costs more than most requests; closing SQLite's last one also writes its log back.
DATABASES["default"]["CONN_MAX_AGE"] = 600
# PostgreSQL itself shows each request its organisation's rows only; manage.py rowsecurity puts that wall up.
CATALOG_ROW_SECURITY = flag("CATALOG_ROW_SECURITY", default=False)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "connections.admin.backend.MembershipBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AXES_FAILURE_LIMIT = whole("CATALOG_LOGIN_ATTEMPTS", default=10, least=1)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_TEMPLATE = "admin/connections/locked_out.html"
AXES_ENABLE_ADMIN = False
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
LOCALE_PATHS = [BASE_DIR / "connections" / "locale"]

STATIC_URL = "static/"
STATIC_ROOT = env.str("CATALOG_STATIC_ROOT", default=str(BASE_DIR / "var" / "static")) if PRODUCTION else None
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if PRODUCTION
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]  # a key file is never on disk
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PRODUCTION:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = flag("CATALOG_SSL_REDIRECT", default=True)
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = whole("CATALOG_HSTS_SECONDS", default=31_536_000, most=100 * 366 * _DAY)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    if flag("CATALOG_BEHIND_PROXY", default=False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CATALOG_PROXIES = whole("CATALOG_PROXIES", default=0, most=100)  # how many proxies of ours stand before this process
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "connections.api.authentication.APIKeyAuthentication",
        "connections.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["connections.api.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["connections.api.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "connections.api.schema.AutoSchema",
    "EXCEPTION_HANDLER": "connections.api.problems.handler",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "connections.api.renderers.Negotiation",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Connection catalogue",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
}

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "connections.services.logs.JSONFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": one_of("CATALOG_LOG_LEVEL", _LEVELS, default="INFO")},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "axes": {"level": "WARNING"},
    },
}
