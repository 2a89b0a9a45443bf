"""Importing folders of the exchange's monthly ZIP dumps with checksum files in one call."""

import hashlib
import zipfile

from marketdata.coverage.ledger import coverage_of
from marketdata.models import Candle, Market
from tests.marketdata.conftest import START, STEP
from tests.marketdata.files.test_importing import dump_row, run

DECEMBER = START - 31 * 288 * STEP


def publish(folder, symbol, month, start, count, unit):
    """Write one month in the layout of the exchange's archive."""
    path = folder / "spot" / "monthly" / "klines" / symbol / "5m" / f"{symbol}-5m-{month}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.csv", "\n".join(dump_row(i, start, unit) for i in range(count)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path


def archive(folder):
    paths = []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        paths.append(publish(folder, symbol, "2024-12", DECEMBER, 31 * 288, 1))
        paths.append(publish(folder, symbol, "2025-01", START, 288, 1000))
    return paths


def test_a_tree_of_monthly_dumps_is_imported_in_one_call(db, tmp_path):
    archive(tmp_path)
    output, _ = run(tmp_path)
    assert "4 files of 2 markets: 18,432 inserted, 0 unchanged, 0 revised" in output
    for market in Market.objects.all():
        ledger = coverage_of(market, DECEMBER, START + 288 * STEP)
        assert (ledger.stored, ledger.missing) == (32 * 288, 0)
    assert "0 inserted, 18,432 unchanged" in run(tmp_path)[0]


def test_a_wrong_checksum_ends_the_call_and_earlier_files_stay_imported(db, tmp_path):
    last = archive(tmp_path)[-1]
    last.with_name(last.name + ".CHECKSUM").write_text(f"{'0' * 64}  {last.name}\n")
    assert "SHA-256" in run(tmp_path)[0]
    assert Candle.objects.count() == 18_432 - 288
    last.with_name(last.name + ".CHECKSUM").unlink()
    assert "288 inserted, 18,144 unchanged" in run(tmp_path)[0]
