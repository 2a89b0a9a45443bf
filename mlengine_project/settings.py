"""Django settings, read by `environment` and validated by `checks`."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import environ
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from marketdata.exchange.parsing import normal_symbol
from mlengine_project.admin_site import UNFOLD  # noqa: F401  # a setting is one by being named here
from mlengine_project.environment import (
    PROBLEMS,
    ROOT,
    address,
    boolean,
    fraction,
    integer,
    listing,
    numbers,
    own_redis_database,
    process_kind,
    redis_database,
    stored_secret,
    text,
    valid_url,
)
from mlengine_project.http.api_settings import (  # noqa: F401  # a setting is one by being named here
    CONTENT_SECURITY_POLICY,
    CORS_ALLOW_HEADERS,
    CORS_ALLOW_METHODS,
    CORS_EXPOSE_HEADERS,
    CORS_PREFLIGHT_MAX_AGE,
    CORS_URLS_REGEX,
    REST_FRAMEWORK,
    SPECTACULAR_SETTINGS,
    logging_of,
)

BASE_DIR = ROOT
STATE_DIR = Path(text("MLENGINE_STATE_DIR") or ROOT / "data")
"""Folder of the embedded engine's database, models, archive, secrets and lock."""

# The two switches (docs/architecture.md) that determine the mode of operation.
DATABASE_URL = text("DATABASE_URL")
IS_TEST = "pytest" in sys.modules
REDIS_URL = own_redis_database(address("REDIS_URL")) if IS_TEST else address("REDIS_URL")
DEPLOYMENT = text("DEPLOYMENT", "mlengine")
EMBEDDED = not REDIS_URL
COMMAND = sys.argv[1] if len(sys.argv) > 1 and Path(sys.argv[0]).name == "manage.py" else ""
IS_UP = COMMAND == "up"
PRODUCTION = bool(REDIS_URL) and not IS_UP and not IS_TEST

# --- the engine's own settings ---------------------------------------------------------------
API_HOST = text("API_HOST", "127.0.0.1")
API_PORT = integer("API_PORT", 8000)
API_KEY = text("API_KEY")
API_KEY_PEPPER = text("API_KEY_PEPPER") or stored_secret(STATE_DIR / "api_key_pepper")
METRICS_TOKEN = text("METRICS_TOKEN")
BINANCE_API_KEY = text("BINANCE_API_KEY")
BINANCE_API_SECRET = text("BINANCE_API_SECRET")
BINANCE_API_URL = address("BINANCE_API_URL", "https://api.binance.com")
BINANCE_STREAM_URL = address("BINANCE_STREAM_URL", "wss://stream.binance.com:9443")
MODEL_PATH = (ROOT / text("MODEL_PATH", str(STATE_DIR / "models"))).resolve()
ARCHIVE_PATH = (ROOT / text("ARCHIVE_PATH", str(STATE_DIR / "archive"))).resolve()
SUPPORTED_SYMBOLS = [normal_symbol(symbol) for symbol in listing("SUPPORTED_SYMBOLS", ["BTCUSDT", "ETHUSDT"])]
INTERVAL = "5m"
DEFAULT_HORIZONS = numbers("DEFAULT_HORIZONS", [6, 18, 36, 72])
PREDICTION_CACHE_TTL = integer("PREDICTION_CACHE_TTL", 60, minimum=1)
RATE_LIMIT = integer("RATE_LIMIT", 100)
REQUEST_THREADS = integer("REQUEST_THREADS", 6, minimum=2)
FEE_RATE = fraction("FEE_RATE", 0.001, maximum=0.1)
MODEL_RETENTION = integer("MODEL_RETENTION", 20, minimum=1)
REFRESH_MARGIN = fraction("REFRESH_MARGIN", 0.5, maximum=100.0)
AUTO_PROMOTE = boolean("AUTO_PROMOTE")
SLIPPAGE_BPS = fraction("SLIPPAGE_BPS", 1.0, maximum=1000.0)
DASK_SCHEDULER = address("DASK_SCHEDULER")
EXTRA_FEATURES = listing("EXTRA_FEATURES", [])
EXTRA_ESTIMATORS = listing("EXTRA_ESTIMATORS", [])
MODEL_MAX_AGE_DAYS = integer("MODEL_MAX_AGE_DAYS", 365, minimum=1)
LOG_LEVEL = text("LOG_LEVEL", "INFO").upper()
TRUSTED_PROXY = listing("TRUSTED_PROXY", [])
SIGNAL_RETENTION_DAYS = 90

# --- Django ----------------------------------------------------------------------------------
DEBUG = boolean("DEBUG")
SECRET_KEY_GIVEN = bool(text("SECRET_KEY"))
SECRET_KEY = text("SECRET_KEY") or stored_secret(STATE_DIR / "secret_key")
ALLOWED_HOSTS = listing("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CORS_ORIGINS = listing("CORS_ORIGINS", ["http://localhost:3000"], valid_url)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "channels",
    "marketdata",
    "modelregistry",
    "predictions",
    "signals",
    "mlengine_project",
    "mlengine_project.access",
    "mlengine_project.operations",
    "mlengine_project.console",
]

MIDDLEWARE = [
    "mlengine_project.operations.logs.structured.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "mlengine_project.admin_policy.AdminPagePolicy",
    "corsheaders.middleware.CorsMiddleware",
    "mlengine_project.http.allowed_methods.AllowedMethods",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "mlengine_project.http.hosts.AllowedHosts",
    "mlengine_project.console.language.ConsolePages",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mlengine_project.access.throttling.LimitHeaders",
    "mlengine_project.access.sign_in.SignInResponses",
    "mlengine_project.http.error_pages.ErrorResponses",
    "mlengine_project.http.revalidation.Revalidation",
]

ROOT_URLCONF = "mlengine_project.urls"
ASGI_APPLICATION = "mlengine_project.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ]
        },
    }
]


def redis_prefix(url: str) -> str:
    """Prefix of the engine's names in Redis; publish/subscribe has no database numbers."""
    return f"{DEPLOYMENT}:{redis_database(url)}:"


def database() -> dict[str, Any]:
    """PostgreSQL in schema `ml` when DATABASE_URL is set, else SQLite in WAL mode."""
    if DATABASE_URL:
        try:
            parsed: dict[str, Any] = dict(environ.Env.db_url_config(DATABASE_URL))
        except Exception as error:  # noqa: BLE001  (the parser raises many exception types)
            PROBLEMS.append(f"DATABASE_URL cannot be read ({error}); write postgres://user:password@host:5432/name.")
        else:
            if "postgresql" in parsed["ENGINE"]:
                parsed["ENGINE"] = "mlengine_project.postgresql"  # which sets the search path
                options = "-c timezone=UTC -c lock_timeout=10s -c statement_timeout=120s"
                own = {"connect_timeout": 5, "application_name": f"mlengine {process_kind()}"}
                parsed["OPTIONS"] = {**own, **parsed.get("OPTIONS", {}), "options": options}
                # Persistent connections, since threads that use the database are reused (docs/decisions/0026).
                parsed["CONN_MAX_AGE"] = 60
                parsed["CONN_HEALTH_CHECKS"] = True
                return parsed
            PROBLEMS.append("DATABASE_URL must name PostgreSQL (or be unset for SQLite); write postgres://...")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": STATE_DIR / "mlengine.sqlite3",
        # A file, since threads of a test share a database only in a file; in memory they block each other.
        "TEST": {"NAME": STATE_DIR / f"test_{os.getpid()}.sqlite3"},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        },
    }


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def channel_layer(url: str) -> dict[str, Any]:
    """Channels layer on Redis; names begin with deployment and database number."""
    host = {
        "address": url,
        "socket_connect_timeout": 2,
        "socket_timeout": 2,
        # Keeps idle connections open, and detects lost ones.
        "health_check_interval": 15,
        # One retry on a new connection, since a pooled one does not survive a restart of Redis.
        "retry": Retry(NoBackoff(), retries=1),
    }
    return {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [host], "prefix": redis_prefix(url)},
    }


LOCAL_CACHE = "django.core.cache.backends.locmem.LocMemCache"
# Cached values of libraries (such as the admin's search results) stay in the process, since they are not JSON.
CACHES: dict[str, dict[str, Any]] = {"default": {"BACKEND": LOCAL_CACHE}}
if EMBEDDED:
    CACHES["shared"] = {
        "BACKEND": LOCAL_CACHE,
        "LOCATION": "shared",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
else:
    CACHES["shared"] = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        # Keys are part of the contract (exactly `prediction:...`) and values are JSON bytes, never pickles.
        "KEY_FUNCTION": "predictions.live.cache.plain_key",
        "OPTIONS": {
            "SERIALIZER": "predictions.live.cache.JsonBytesSerializer",
            "SOCKET_CONNECT_TIMEOUT": 1,
            "SOCKET_TIMEOUT": 1,
        },
    }
    CHANNEL_LAYERS = {"default": channel_layer(REDIS_URL)}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
# Only the console's pages are translated (mlengine_project.console.language); the API answers in English.
LANGUAGES = [("en", "English"), ("es", "Español")]
LOCALE_PATHS = [ROOT / "locale"]
FORMAT_MODULE_PATH = "mlengine_project.formats"
STATIC_URL = "static/"
STATIC_ROOT = ROOT / "staticfiles"
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

# --- Celery: a queue without slow tasks, JSON only, state in the database ------------------------
CELERY_BROKER_URL = REDIS_URL or "memory://"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "signals.tasks.schedule_advance": {"queue": "live"},
    "signals.tasks.advance_markets": {"queue": "live"},
    "signals.tasks.sweep_outbox": {"queue": "live"},
    "mlengine_project.operations.tasks.run_job": {"queue": "training"},
    "modelregistry.tasks.lend_hand": {"queue": "training"},
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    # A lost worker's tasks come back after an hour at the latest; sweeps find the work far sooner.
    {"visibility_timeout": 3600, "global_keyprefix": redis_prefix(REDIS_URL)}
    if REDIS_URL
    else {"polling_interval": 0.05}
)
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "mlengine_project.operations.scheduling.beat_scheduler:EngineScheduler"
# The last run is written at once, since health compares it with now.
CELERY_BEAT_SYNC_EVERY = 1
DJANGO_CELERY_BEAT_TZ_AWARE = True

# --- behind a TLS proxy (see `mlengine_project.access.proxy`) ------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = bool(TRUSTED_PROXY)
SECURE_HSTS_SECONDS = 31_536_000 if TRUSTED_PROXY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_AGE = 8 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
CSRF_FAILURE_VIEW = "mlengine_project.http.hosts.cross_site_refused"

# --- settings of the API (see `mlengine_project.http.api_settings`) -----------------------------------------
CORS_ALLOWED_ORIGINS = [origin for origin in CORS_ORIGINS if origin != "*"]
CORS_ALLOW_ALL_ORIGINS = "*" in CORS_ORIGINS
DEFAULT_EXCEPTION_REPORTER = "mlengine_project.http.error_pages.PlainExceptionReporter"
LOGGING = logging_of(LOG_LEVEL, pretty=not PRODUCTION)
# Static files come from the apps until an image collects them; the folder for that may be missing.
WHITENOISE_USE_FINDERS = True
warnings.filterwarnings("ignore", message="No directory at")
