"""Backup and restore: complete or not at all, verified before any change."""

import shutil
import tarfile

import pytest
from django.conf import settings

from marketdata import clock
from marketdata.models import Candle, Market
from mlengine_project.operations.backups import BackupError, backup, restore
from modelregistry.models import ModelVersion
from modelregistry.registry import retention

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def engine(tmp_path, settings):
    settings.MODEL_PATH = tmp_path / "models"
    settings.STATE_DIR = tmp_path / "state"
    (settings.MODEL_PATH / "range_predictor" / "abc").mkdir(parents=True)
    (settings.MODEL_PATH / "range_predictor" / "abc" / "manifest.json").write_text("{}")
    settings.STATE_DIR.mkdir()
    (settings.STATE_DIR / "api_key_pepper").write_text("pepper")
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    Candle.objects.create(
        market=market, open_time=0, open=3, high="4.00000001", low=2, close=3, volume=10**13, origin="import"
    )
    return tmp_path


def test_backup_is_restored(engine):
    manifest = backup(engine / "engine.tar.gz")
    assert manifest["rows"]["candles"] == 1
    assert (engine / "engine.tar.gz").stat().st_mode & 0o777 == 0o600
    Candle.objects.all().delete()
    Market.objects.all().delete()
    (settings.MODEL_PATH / "range_predictor" / "abc" / "manifest.json").unlink()
    restore(engine / "engine.tar.gz")
    candle = Candle.objects.get(market__symbol="BTCUSDT")
    assert (str(candle.high), int(candle.volume)) == ("4.00000001", 10**13)
    assert (settings.MODEL_PATH / "range_predictor" / "abc" / "manifest.json").read_text() == "{}"
    Market.objects.create(symbol="ETHUSDT", source="simulated")


def test_a_full_database_is_not_replaced_unless_forced(engine):
    backup(engine / "engine.tar.gz")
    with pytest.raises(BackupError, match="not empty"):
        restore(engine / "engine.tar.gz")
    restore(engine / "engine.tar.gz", force=True)
    assert Candle.objects.count() == 1


def test_a_damaged_archive_changes_nothing(engine):
    path = engine / "engine.tar.gz"
    backup(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupError):
        restore(path, force=True)
    assert Candle.objects.count() == 1


def test_restore_without_tables_reports_to_migrate(engine, monkeypatch):
    path = engine / "backup.tar.gz"
    backup(path)
    monkeypatch.setattr("mlengine_project.operations.backups._migrations", list)
    with pytest.raises(BackupError, match="no tables yet"):
        restore(path, force=True)


def test_an_edited_archive_is_refused(engine):
    path = engine / "engine.tar.gz"
    backup(path)
    folder = engine / "opened"
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    target = next(iter(folder.glob("models/*/*/manifest.json")))
    target.write_text('{"edited": true}')
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=".")
    with pytest.raises(BackupError, match="damaged"):
        restore(path, force=True)


def test_an_archive_that_cannot_be_written_leaves_nothing_behind(engine):
    path = engine / "engine.tar.gz"
    path.write_text("precious")
    with pytest.raises(BackupError, match="exists already"):
        backup(path)
    assert path.read_text() == "precious"
    assert not [found for found in engine.iterdir() if "partial" in found.name]


def test_a_backup_after_retention_holds_the_rows_of_all_versions_and_the_files_of_those_that_keep_them(
    engine, settings
):
    settings.MODEL_RETENTION, now, root = 1, clock.wall_now(), settings.MODEL_PATH
    for number in range(3):
        (root / "range_predictor" / f"{number:064}").mkdir()
        (root / "range_predictor" / f"{number:064}" / "manifest.json").write_text("{}")
        ModelVersion.objects.create(
            kind="range_predictor", source="exchange", digest=f"{number:064}", symbols=[], horizons=[],
            trained_from=now, trained_until=now, row_count=1, seed=number,
        )  # fmt: skip
    retention.prune([])
    backup(engine / "engine.tar.gz")
    ModelVersion.objects.all().delete()
    shutil.rmtree(root)
    restore(engine / "engine.tar.gz", force=True)
    assert {one.seed: one.files_kept for one in ModelVersion.objects.all()} == {0: False, 1: False, 2: True}
    assert sorted(path.name for path in (root / "range_predictor").iterdir()) == [f"{2:064}", "abc"]
    assert retention.prune([]) == []
