"""Backup and restore of tables, model files, the archive of old rows and generated secrets.

The archive is a tar of one CSV per table (PostgreSQL) or the whole database file (SQLite), the
model folder, and a manifest with the SHA-256 of each part. It holds secrets and must be stored like one.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from indicators.errors import MLEngineError
from marketdata import clock
from marketdata.models import Candle
from modelregistry.models import ModelVersion

FORMAT = 1
SECRETS = ("api_key_pepper", "secret_key")
MANIFEST = "manifest.json"


class BackupError(MLEngineError):
    """An archive cannot be written, is damaged, or does not fit this database."""


def backup(target: Path) -> dict[str, Any]:
    """Write an archive under a temporary name, then rename it; returns its manifest."""
    target = target.resolve()
    if target.exists():
        raise BackupError(f"{target.name} exists already; choose another name")
    partial = target.with_name(target.name + ".partial")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            manifest = _collect(Path(folder))
            with tarfile.open(partial, "w:gz", compresslevel=1) as archive:
                archive.add(folder, arcname=".", filter=_anonymous)
        partial.chmod(0o600)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.rename(target)
    except OSError as error:
        raise BackupError(f"the archive could not be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def restore(source: Path, *, force: bool = False) -> dict[str, Any]:
    """Restore an archive into an empty database, or over a full one with `force`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with tarfile.open(source, "r:gz") as archive:
                archive.extractall(folder, filter="data")
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        except (OSError, tarfile.TarError, ValueError, EOFError) as error:
            raise BackupError(f"{source.name} is not a backup archive, or is damaged: {error}") from error
        _verify(folder, manifest)
        if not force and (Candle.objects.exists() or ModelVersion.objects.exists()):
            raise BackupError("the database is not empty; --force replaces what is in it")
        {"sqlite": _restore_sqlite, "postgresql": _restore_postgresql}[connection.vendor](folder)
        _copy_tree(folder / "models", settings.MODEL_PATH)
        _copy_tree(folder / "archive", settings.ARCHIVE_PATH)
        _copy_tree(folder / "secrets", settings.STATE_DIR, mode=0o600)
    return manifest


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _tables() -> list[str]:
    models = apps.get_models(include_auto_created=True)
    return sorted({model._meta.db_table for model in models if model._meta.managed and not model._meta.proxy})  # noqa: SLF001


def _migrations() -> list[str]:
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def _collect(folder: Path) -> dict[str, Any]:
    (folder / "database").mkdir()
    rows = _dump_sqlite(folder) if connection.vendor == "sqlite" else _dump_postgresql(folder)
    if settings.MODEL_PATH.exists():
        shutil.copytree(settings.MODEL_PATH, folder / "models", ignore=shutil.ignore_patterns(".*"))
    if settings.ARCHIVE_PATH.exists():
        shutil.copytree(settings.ARCHIVE_PATH, folder / "archive", ignore=shutil.ignore_patterns(".*"))
    (folder / "secrets").mkdir()
    for name in SECRETS:
        if (settings.STATE_DIR / name).exists():
            shutil.copy2(settings.STATE_DIR / name, folder / "secrets" / name)
    manifest = {
        "format": FORMAT,
        "vendor": connection.vendor,
        "made_at": clock.wall_now().isoformat(),
        "migrations": _migrations(),
        "rows": rows,
        "files": _digests(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    return manifest


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    found = {}
    for path in files:
        with path.open("rb") as content:
            found[str(path.relative_to(folder))] = hashlib.file_digest(content, "sha256").hexdigest()
    return found


def _verify(folder: Path, manifest: dict[str, Any]) -> None:
    if manifest.get("format") != FORMAT:
        raise BackupError(f"the archive has format {manifest.get('format')!r}, this engine reads {FORMAT}")
    if manifest["vendor"] != connection.vendor:
        raise BackupError(f"the archive is of {manifest['vendor']}, this database is {connection.vendor}")
    if not _migrations():
        raise BackupError("this database has no tables yet; run `manage.py migrate` first")
    if manifest["migrations"] != _migrations():
        raise BackupError("the archive was made by another version of the engine; migrate to that version first")
    if manifest["files"] != _digests(folder):
        raise BackupError("a file in the archive differs from its manifest; the archive is damaged")


def _dump_sqlite(folder: Path) -> dict[str, int]:
    connection.ensure_connection()
    with sqlite3.connect(folder / "database" / "engine.sqlite3") as copy:
        connection.connection.backup(copy)
        rows = {table: copy.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in _tables()}  # noqa: S608
    copy.close()
    return rows


def _restore_sqlite(folder: Path) -> None:
    connection.ensure_connection()
    with sqlite3.connect(folder / "database" / "engine.sqlite3") as copy:
        copy.backup(connection.connection)
    copy.close()


def _dump_postgresql(folder: Path) -> dict[str, int]:
    rows = {}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        for table in _tables():
            path = folder / "database" / f"{table}.csv"
            with path.open("wb") as file, cursor.copy(f'COPY "{table}" TO STDOUT (FORMAT csv, HEADER)') as copy:
                for chunk in copy:
                    file.write(chunk)
            cursor.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608  (names come from the engine's models)
            rows[table] = cursor.fetchone()[0]
    return rows


def _restore_postgresql(folder: Path) -> None:
    tables = _tables()
    quoted = ", ".join(f'"{table}"' for table in tables)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        # Foreign keys are checked at commit, so tables may be restored in any order.
        cursor.execute(f"TRUNCATE {quoted} CASCADE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for table in tables:
            with (folder / "database" / f"{table}.csv").open("rb") as file:
                columns = ", ".join(f'"{name}"' for name in file.readline().decode().strip().split(","))
                with cursor.copy(f'COPY "{table}" ({columns}) FROM STDIN (FORMAT csv)') as copy:
                    while chunk := file.read(1 << 20):
                        copy.write(chunk)
            cursor.execute(
                "SELECT a.attname, pg_get_serial_sequence(quote_ident(%s), a.attname) FROM pg_attribute a"
                " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped",
                [table, table],
            )
            for column, sequence in cursor.fetchall():
                if sequence:
                    cursor.execute(
                        f'SELECT setval(%s, coalesce((SELECT max("{column}") FROM "{table}"), 0) + 1, false)',  # noqa: S608
                        [sequence],
                    )


def _copy_tree(source: Path, target: Path, mode: int | None = None) -> None:
    if not source.exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, dirs_exist_ok=True)
    if mode is not None:
        for path in source.iterdir():
            (target / path.name).chmod(mode)
