"""The engine in a database whose schema `public` belongs to another Django application."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.apps import apps

from tests.flows.databases import manage, new_database, tables

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "shop_settings"
execute_from_command_line(sys.argv)
"""
SETTINGS = """
import os
import environ
SECRET_KEY = "of the shop"
DATABASES = {"default": environ.Env.db_url_config(os.environ["DATABASE_URL"])}
CONTRIB = ["admin", "auth", "contenttypes", "sessions", "messages"]
SILENCED_SYSTEM_CHECKS = ["admin.E403", "admin.E408", "admin.E409", "admin.E410", "models.W042"]
INSTALLED_APPS = [f"django.contrib.{name}" for name in CONTRIB] + ["django_celery_beat", "access"]
"""
MODELS = """
from django.db import models

class ApiKey(models.Model):
    owner = models.ForeignKey("auth.User", on_delete=models.CASCADE)
    class Meta:
        db_table = "api_keys"

class Market(models.Model):
    city = models.CharField(max_length=20)
    class Meta:
        db_table = "markets"

class WebsocketTicket(models.Model):
    seat = models.CharField(max_length=20)
    class Meta:
        db_table = "websocket_tickets"
"""
ROWS = """
from django.contrib.auth.models import User
from access.models import ApiKey, Market
ApiKey.objects.create(owner=User.objects.create_superuser("clerk", password="clerk-of-the-shop"))
Market.objects.create(city="Ulm")
"""
SIGN_IN = """
from django.contrib.auth import authenticate
print("clerk may sign in:", authenticate(username="clerk", password="clerk-of-the-shop") is not None)
"""


@pytest.fixture
def shop(tmp_path) -> Path:
    """A Django project whose app label and table names equal some of the engine's."""
    folder = tmp_path / "shop"
    (folder / "access" / "migrations").mkdir(parents=True)
    for name, text in {
        "manage.py": MANAGE,
        "shop_settings.py": SETTINGS,
        "access/__init__.py": "",
        "access/models.py": MODELS,
        "access/migrations/__init__.py": "",
    }.items():
        (folder / name).write_text(text)
    manage({"DATABASE_URL": "sqlite:///:memory:"}, "makemigrations", "access", project=folder)
    return folder


@pytest.fixture
def database(tmp_path):
    """Environment of an engine with a private database."""
    with new_database() as url:
        yield {"DATABASE_URL": url, "REDIS_URL": "", "MLENGINE_STATE_DIR": str(tmp_path / "state")}


def own_tables():
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    return {"django_migrations", *(model._meta.db_table for model in models)}


def test_earlier_application_in_public_is_neither_read_nor_written(shop, database):
    url = database["DATABASE_URL"]
    manage(database, "migrate", project=shop)
    manage(database, "shell", "-c", ROWS, project=shop)
    theirs = tables(url, "public")
    assert {"api_keys", "markets", "django_migrations", "auth_user"} <= set(theirs)

    # Before the first migration nothing of the shop is used by the engine: no applied migration, no account.
    assert "[X]" not in manage(database, "showmigrations")
    assert "clerk may sign in: True" not in manage(database, "shell", "-c", SIGN_IN, succeeds=False)

    manage(database, "migrate", "--no-input")
    assert set(tables(url, "ml")) == own_tables()
    manage(database, "create_api_key", "first", "--scope", "admin")
    manage(database, "install_schedule")
    assert "clerk may sign in: False" in manage(database, "shell", "-c", SIGN_IN)
    assert len(tables(url, "ml")["api_keys"]) == 1
    assert tables(url, "public") == theirs


@pytest.mark.long
def test_later_application_finds_public_empty(shop, database):
    url = database["DATABASE_URL"]
    manage(database, "migrate", "--no-input")
    assert tables(url, "public") == {}
    ours = tables(url, "ml")
    manage(database, "migrate", project=shop)
    manage(database, "shell", "-c", ROWS, project=shop)
    assert len(tables(url, "public")["api_keys"]) == 1
    assert tables(url, "ml") == ours
    assert "No migrations to apply" in manage(database, "migrate", "--no-input")


@pytest.mark.long
def test_a_user_who_may_not_create_schemas_needs_only_the_schema(database):
    url, user, password = database["DATABASE_URL"], f"engine_{secrets.token_hex(4)}", secrets.token_hex(8)
    parts = urlsplit(url)
    database["DATABASE_URL"] = f"postgres://{user}:{password}@{parts.hostname}:{parts.port or 5432}{parts.path}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        try:
            server.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            refused = manage(database, "migrate", "--no-input", succeeds=False)
            assert f"CREATE SCHEMA ml AUTHORIZATION {user}" in refused
            assert "Traceback" not in refused

            server.execute(f"CREATE SCHEMA ml AUTHORIZATION {user}")
            manage(database, "migrate", "--no-input")
            assert set(tables(url, "ml")) == own_tables()
        finally:
            server.execute(f"DROP OWNED BY {user} CASCADE")
            server.execute(f"DROP ROLE {user}")


OLDER = """
ALTER TABLE ml.django_migrations SET SCHEMA public;
ALTER TABLE ml.api_keys SET SCHEMA public;
DROP TABLE ml.known_addresses;
DELETE FROM public.django_migrations WHERE app = 'access' AND name > '0002';
"""
"""State left by version 0.1 in `public`, with the websocket tickets moved already."""


@pytest.mark.long
def test_table_is_moved_only_if_its_columns_match(database):
    url = database["DATABASE_URL"]
    manage(database, "migrate", "--no-input")
    manage(database, "create_api_key", "first")
    with psycopg.connect(url, autocommit=True) as server:
        constraints = "SELECT conname, contype FROM pg_constraint WHERE conrelid = to_regclass(%s) ORDER BY 1"
        ours = server.execute(constraints, ["ml.api_keys"]).fetchall()
        server.execute(OLDER)
        server.execute("ALTER TABLE public.api_keys RENAME digest TO owner")
        refused = manage(database, "migrate", "--no-input", succeeds=False)
        assert "public.api_keys there has other columns and was left alone" in refused
        assert "Traceback" not in refused

        server.execute("ALTER TABLE public.api_keys RENAME owner TO digest")
        server.execute("ALTER TABLE public.api_keys ADD note text")
        server.execute("CREATE ROLE reporting")
        try:
            server.execute("GRANT SELECT ON public.api_keys TO reporting")
            manage(database, "migrate", "--no-input")
            granted = server.execute("SELECT has_table_privilege('reporting', 'ml.api_keys', 'SELECT')").fetchone()
        finally:
            server.execute("DROP OWNED BY reporting")
            server.execute("DROP ROLE reporting")
        assert granted == (True,)
        assert server.execute(constraints, ["ml.api_keys"]).fetchall() == ours
    assert set(tables(url, "public")) == {"django_migrations"}
    assert len(tables(url, "ml")["api_keys"]) == 1


def test_test_database_uses_the_schema(db):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN ('public', 'ml')")
        assert cursor.fetchall() == [("ml",)]
