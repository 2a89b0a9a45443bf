"""The exchange's monthly dumps as they are published: folders of ZIPs with checksum files, in one call."""

import hashlib
import zipfile

from marketdata.coverage import coverage_of
from marketdata.models import Candle, Market
from tests.marketdata.conftest import START, STEP
from tests.marketdata.test_import import dump_row, run

DECEMBER = START - 31 * 288 * STEP


def publish(folder, symbol, month, start, count, unit):
    """One month as the exchange puts it into its archive."""
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


def test_a_tree_of_monthly_dumps_comes_in_whole_in_one_call(db, tmp_path):
    archive(tmp_path)
    said, _ = run(tmp_path)
    assert "4 files of 2 markets: 18,432 inserted, 0 unchanged, 0 revised" in said
    for market in Market.objects.all():
        ledger = coverage_of(market, DECEMBER, START + 288 * STEP)
        assert (ledger.stored, ledger.missing) == (32 * 288, 0)
    assert "0 inserted, 18,432 unchanged" in run(tmp_path)[0]


def test_a_month_that_is_not_what_its_checksum_names_ends_the_call_and_the_rest_is_kept(db, tmp_path):
    last = archive(tmp_path)[-1]
    last.with_name(last.name + ".CHECKSUM").write_text(f"{'0' * 64}  {last.name}\n")
    assert "SHA-256" in run(tmp_path)[0]
    assert Candle.objects.count() == 18_432 - 288
    last.with_name(last.name + ".CHECKSUM").unlink()
    assert "288 inserted, 18,144 unchanged" in run(tmp_path)[0]
