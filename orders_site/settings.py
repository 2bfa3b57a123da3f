"""The one settings file: every knob from the environment or `.env`, listed in docs/settings.md."""

from pathlib import Path
from typing import Any
from uuid import UUID

from orders_site.databases import CONTEXT_DATABASES, database_settings
from orders_site.embedded import credentials as embedded_credentials
from orders_site.embedded.nats import url as embedded_nats_url
from orders_site.embedded.valkey import url as embedded_valkey_url
from orders_site.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = ENVIRONMENT = Environment()
if (dotenv := BASE_DIR / ".env").exists():
    env.read_env(dotenv)

# -- What the machine is ------------------------------------------------------------------------

PRODUCTION = env.bool("PRODUCTION", default=False)
DEBUG = env.bool("DEBUG", default=False)
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).expanduser().resolve()
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in ("DEBUG", "INFO", "WARNING", "ERROR"):
    env.problems.append("ORDERS_LOG_LEVEL is DEBUG, INFO, WARNING or ERROR.")
    LOG_LEVEL = "INFO"

# Known once `manage.py up` has run; without them only the embedded servers' URLs are incomplete.
try:
    _credentials = embedded_credentials.load(DATA_DIR)
except (OSError, ValueError) as _error:
    _credentials = None
    env.problems.append(f"ORDERS_DATA_DIR can't be used: {_error}.")

# -- Web ----------------------------------------------------------------------------------------

SECRET_KEY = env.str(
    "SECRET_KEY", default=_credentials.django_secret_key if _credentials else "unset"
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
WEB_HOST = env.str("WEB_HOST", default="127.0.0.1")
WEB_PORT = env.port("WEB_PORT", 8000)
WEB_THREADS = env.number("WEB_THREADS", 16, least=1, most=512)
# How many proxies in front of us write the address of whom they serve into X-Forwarded-For.
PROXIES = env.number("PROXIES", 0, least=0, most=10)
API_TOKEN_CACHE_SECONDS = env.number("API_TOKEN_CACHE_SECONDS", 3.0, least=0, most=60)
LOGIN_FAILURES = env.number("LOGIN_FAILURES", 10, least=1)
MAX_BODY_BYTES = 64 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

SECURE_SSL_REDIRECT = env.bool("HTTPS", default=PRODUCTION)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_SSL_REDIRECT else None
SECURE_HSTS_SECONDS = env.number("HSTS_SECONDS", 31_536_000 if SECURE_SSL_REDIRECT else 0, least=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_SSL_REDIRECT
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

# -- Metrics ------------------------------------------------------------------------------------

# Who may ask the web for them; empty: nobody.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
if METRICS_TOKEN and not (METRICS_TOKEN.isascii() and len(METRICS_TOKEN) >= 16):
    env.problems.append("ORDERS_METRICS_TOKEN has 16 characters of ASCII at least.")
METRICS_HOST = env.str("METRICS_HOST", default="127.0.0.1")
# Of each process that is started with it; 0: it serves none.
METRICS_PORT = env.number("METRICS_PORT", 0, least=0, most=65_535)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    # The URLs load what is registered with the admin: only the web process needs that.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "orders_site.apps.OrdersSiteConfig",
    "eventstore.apps.EventStoreConfig",
    "orders_site.ordering.apps.OrderingConfig",
    "payments.apps.PaymentsConfig",
    "restaurant.apps.RestaurantConfig",
    "queries.apps.QueriesConfig",
    "orders_site.console.apps.ConsoleConfig",
]

MIDDLEWARE = [
    "orders_site.middleware.AnswerProbes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "orders_site.middleware.RefuseMalformedRequests",
    "orders_site.middleware.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "orders_site.middleware.SessionUsers",
    "orders_site.middleware.SessionMessages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "orders_site.urls"
WSGI_APPLICATION = "orders_site.wsgi.application"
APPEND_SLASH = True

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the packages' own, so that one of theirs can be replaced.
        "DIRS": [BASE_DIR / "orders_site" / "console" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STATIC_URL = "/static/"
# Assets are served from where the packages keep them: there is no collectstatic step to forget.
WHITENOISE_USE_FINDERS = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["orders_site.console.formats"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- Databases: one per context -----------------------------------------------------------------

DATABASE_ROUTERS = ["orders_site.routers.ContextRouter"]
DISABLE_COCKROACHDB_TELEMETRY = True
DATABASE_STATEMENT_TIMEOUT_SECONDS = env.number("DATABASE_STATEMENT_TIMEOUT_SECONDS", 30, least=1)
DATABASE_LOCK_TIMEOUT_SECONDS = env.number("DATABASE_LOCK_TIMEOUT_SECONDS", 5, least=1)
DATABASE_CONNECT_TIMEOUT_SECONDS = env.number("DATABASE_CONNECT_TIMEOUT_SECONDS", 5, least=1)


DATABASES = {
    alias: database_settings(
        alias,
        env,
        DATA_DIR,
        statement_timeout_seconds=DATABASE_STATEMENT_TIMEOUT_SECONDS,
        lock_timeout_seconds=DATABASE_LOCK_TIMEOUT_SECONDS,
        connect_timeout_seconds=DATABASE_CONNECT_TIMEOUT_SECONDS,
    )
    for alias in CONTEXT_DATABASES
}

# -- Event store --------------------------------------------------------------------------------

EVENTSTORE_STREAMS = env.list("EVENTSTORE_STREAMS", default=["ORDERS"])
EVENTSTORE_HOST = env.str("EVENTSTORE_HOST", default="127.0.0.1")
EVENTSTORE_PORT = env.port("EVENTSTORE_PORT", 7051)
# What clients dial; the server listens on HOST:PORT.
EVENTSTORE_ADDRESS = env.address("EVENTSTORE_ADDRESS", f"127.0.0.1:{EVENTSTORE_PORT}")
EVENTSTORE_TIMEOUT_SECONDS = env.number("EVENTSTORE_TIMEOUT_SECONDS", 5.0, least=0.1)
EVENTSTORE_AGGREGATE_EVENTS = env.number(
    "EVENTSTORE_AGGREGATE_EVENTS", 1_000, least=100, most=1_000_000
)
EVENTSTORE_THREADS = env.number("EVENTSTORE_THREADS", 32, least=4, most=512)
EVENTSTORE_REFLECTION = env.bool("EVENTSTORE_REFLECTION", default=not PRODUCTION)
# Mutual TLS: given these three, server and clients show the certificate and trust only the CA.
EVENTSTORE_TLS_CERTIFICATE = env.str("EVENTSTORE_TLS_CERTIFICATE", default="")
EVENTSTORE_TLS_KEY = env.str("EVENTSTORE_TLS_KEY", default="")
EVENTSTORE_TLS_CA = env.str("EVENTSTORE_TLS_CA", default="")
# Signed checkpoints: where they are kept, never in a database, and what they are signed with.
CHECKPOINT_DIR = env.str("CHECKPOINT_DIR", default="") or str(DATA_DIR / "checkpoints")
CHECKPOINT_KEY_FILE = env.str("CHECKPOINT_KEY_FILE", default="")
CHECKPOINT_INTERVAL_SECONDS = env.number("CHECKPOINT_INTERVAL_SECONDS", 300.0, least=1)

# -- NATS ---------------------------------------------------------------------------------------

NATS_PORT = env.port("NATS_PORT", 14222)
_NATS_SCHEMES = ("nats", "tls")
_nats_url = env.url("NATS_URL", schemes=_NATS_SCHEMES, several=True)
NATS_URL = _nats_url or embedded_nats_url("subscriber", NATS_PORT, _credentials)
NATS_PUBLISHER_URL = env.url(
    "NATS_PUBLISHER_URL", _nats_url, schemes=_NATS_SCHEMES, several=True
) or embedded_nats_url("publisher", NATS_PORT, _credentials)
NATS_REPLICAS = env.number("NATS_REPLICAS", 1, least=1, most=5)
# How many of the last events NATS keeps; 0: all.
NATS_KEEP_EVENTS = env.number("NATS_KEEP_EVENTS", 0, least=0)

# -- Subscriptions ------------------------------------------------------------------------------

SUBSCRIPTION_BATCH = env.number("SUBSCRIPTION_BATCH", 200, least=1, most=1000)
SUBSCRIPTION_THREADS = env.number("SUBSCRIPTION_THREADS", 16, least=1, most=64)
SUBSCRIPTION_ATTEMPTS = env.number("SUBSCRIPTION_ATTEMPTS", 5, least=1)

# -- Orders -------------------------------------------------------------------------------------

DEFAULT_CURRENCY = env.str("DEFAULT_CURRENCY", default="EUR")
YEAR = 365 * 24 * 3600
PAYMENT_DEADLINE_SECONDS = env.number("PAYMENT_DEADLINE_SECONDS", 120, least=1, most=YEAR)
APPROVAL_DEADLINE_SECONDS = env.number("APPROVAL_DEADLINE_SECONDS", 900, least=1, most=YEAR)
REFUND_DEADLINE_SECONDS = env.number("REFUND_DEADLINE_SECONDS", 600, least=1, most=YEAR)
SWEEP_INTERVAL_SECONDS = env.number("SWEEP_INTERVAL_SECONDS", 5.0, least=0.1)

# -- Payments -----------------------------------------------------------------------------------

GATEWAY_PORT = env.port("GATEWAY_PORT", 8101)
GATEWAY_URL = env.url("GATEWAY_URL", f"http://127.0.0.1:{GATEWAY_PORT}", schemes=("https", "http"))
GATEWAY_API_KEY = env.str(
    "GATEWAY_API_KEY", default=_credentials.gateway_api_key if _credentials else ""
)
RECONCILE_INTERVAL_SECONDS = env.number("RECONCILE_INTERVAL_SECONDS", 60.0, least=1)
GATEWAY_TIMEOUT_SECONDS = env.number("GATEWAY_TIMEOUT_SECONDS", 5.0, least=0.1)

# -- Celery -------------------------------------------------------------------------------------

VALKEY_PORT = env.port("VALKEY_PORT", 16379)
CELERY_BROKER_URL = env.url(
    "CELERY_BROKER_URL", schemes=("redis", "rediss", "amqp", "amqps")
) or embedded_valkey_url(VALKEY_PORT, _credentials)
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than the longest task; the other two make a lost task come back in seconds, not 90.
    "visibility_timeout": 180,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
CELERY_BEAT_SCHEDULE = {
    "sweep-overdue-orders": {
        "task": "ordering.sweep_overdue",
        "schedule": SWEEP_INTERVAL_SECONDS,
        "options": {"expires": 60},
    },
    "sign-checkpoint": {
        "task": "eventstore.sign_checkpoint",
        "schedule": CHECKPOINT_INTERVAL_SECONDS,
        "options": {"expires": 60},
    },
    "reconcile-payments": {
        "task": "payments.reconcile",
        "schedule": RECONCILE_INTERVAL_SECONDS,
        "options": {"expires": 60},
    },
}

# -- REST ---------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "orders_site.authentication.ApiClientAuthentication",
        "orders_site.authentication.StaffSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["orders_site.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "orders_site.negotiation.QuickNegotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "orders_site.errors.problem",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Orders",
    "DESCRIPTION": "Place orders and follow them. Errors are RFC 9457 problem details.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PATH_CONVERTER_OVERRIDES": {"order_id": UUID},
}

# -- Admin --------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "Orders",
    "SITE_HEADER": "Orders",
    "SITE_SYMBOL": "receipt_long",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "orders_site.console.login.LoginForm"},
    "DASHBOARD_CALLBACK": "orders_site.console.landing.dashboard",
    "SIDEBAR": {"navigation": "orders_site.console.navigation.sidebar"},
}

_TOLD_OF_THE_BROKER = ("beat", "worker.consumer.consumer")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "refusals": {"()": "orders_site.log_filters.RefusalsAreNoErrors"},
        "broker_away": {"()": "orders_site.log_filters.BrokerAway"},
    },
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["refusals"]}
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        "httpx": {"level": "WARNING"},
        # A line for each start and end of a task would drown what the tasks themselves say.
        "celery": {"level": "WARNING"},
        **{f"celery.{name}": {"filters": ["broker_away"]} for name in _TOLD_OF_THE_BROKER},
    },
}
