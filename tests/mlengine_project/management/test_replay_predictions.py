"""Replay: forecasts equal to live ones at every candle, all columns, complete files."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from indicators.features import WARMUP
from marketdata import clock
from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle, Market
from marketdata.storage import candles
from mlengine_project.operations.table_files import TableFile, TableFileError
from modelregistry import registry
from modelregistry.models import ModelVersion
from predictions.forecasting.forecast_batch import forecast_batch
from signals.drafting import draft
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
STEP = 300_000
START = clock.to_ms(datetime(2024, 12, 1, tzinfo=UTC))
CANDLES = WARMUP + 60
FIRST = START + (CANDLES - 50) * STEP
END = START + CANDLES * STEP
LEVELS = ("05", "10", "25", "50", "75", "90", "95")
RANGE_COLUMNS = [
    *("symbol", "open_time", "horizon", "close", "predicted_high", "predicted_low"),
    *(f"{side}_q{level}" for side in ("high", "low") for level in LEVELS),
    "reasons",
]
BRACKET_COLUMNS = [
    *("symbol", "open_time", "horizon", "side", "bracket", "entry_price", "take_profit", "stop_loss"),
    *("p_take_profit", "p_stop_loss", "p_neither", "p_break_even", "expected_net_return", "emitted", "reasons"),
]


@pytest.fixture(scope="module")
def artifact_folder(tmp_path_factory):
    """One folder for all tests of this file, so that each artifact is verified once."""
    return tmp_path_factory.mktemp("replayed") / "models"


@pytest.fixture(autouse=True)
def model_folder(artifact_folder, settings):
    settings.MODEL_PATH = artifact_folder
    champions.unload_estimators()
    yield settings.MODEL_PATH
    champions.unload_estimators()


def fill(symbol, seed, skip=()):
    market = Market.objects.create(symbol=symbol, source="exchange")
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, CANDLES)))
    start = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(start, close) * np.exp(np.abs(rng.normal(0, 0.0005, CANDLES)))
    low = np.minimum(start, close) * np.exp(-np.abs(rng.normal(0, 0.0005, CANDLES)))
    volume = rng.integers(1, 99, CANDLES)
    rows = [
        CandleRow(START + i * STEP, *(Decimal(f"{column[i]:.8f}") for column in (start, high, low, close)),
                  Decimal(int(volume[i])), None, None, None, None)
        for i in range(CANDLES)
        if i not in skip
    ]  # fmt: skip
    candles.save_candles(market, rows, Candle.Origin.IMPORT)
    return market


@pytest.fixture
def markets():
    return [fill("BTCUSDT", 1), fill("ETHUSDT", 2)]


def replay(tmp_path, suffix="parquet", start=FIRST, end=END, **options):
    names = {name: tmp_path / f"{name}.{suffix}" for name in ("ranges", "brackets")}
    call_command("replay_predictions", "--from", str(start), "--to", str(end), **names, **options)
    read = pd.read_parquet if suffix == "parquet" else pd.read_csv
    return read(names["ranges"]), read(names["brackets"])


def test_every_candle_horizon_side_and_bracket_has_one_row_and_the_columns_are_exact(markets, tmp_path):
    champions.bootstrap_all()
    ranges, brackets = replay(tmp_path)
    assert list(ranges.columns) == RANGE_COLUMNS
    assert list(brackets.columns) == BRACKET_COLUMNS
    assert len(ranges) == 50 * 2 * 4
    assert len(brackets) == 50 * 2 * 4 * 2 * 4
    assert not ranges.duplicated(["symbol", "open_time", "horizon"]).any()
    assert not brackets.duplicated(["symbol", "open_time", "horizon", "side", "bracket"]).any()
    assert set(brackets.bracket) == {"1x1", "1.5x0.75", "0.75x1.5", "chosen"}
    assert brackets.emitted.dtype == bool
    assert brackets.groupby(["symbol", "open_time"]).emitted.sum().max() <= 1
    total = brackets.p_take_profit + brackets.p_stop_loss + brackets.p_neither
    assert np.abs(total - 1).max() < 1e-9
    for side in ("high", "low"):
        assert (np.diff(ranges[[f"{side}_q{level}" for level in LEVELS]].to_numpy(), axis=1) >= 0).all()
    assert (ranges.low_q95 <= ranges.close).all()
    assert (ranges.close <= ranges.high_q05).all()
    assert (ranges.predicted_high == ranges.high_q50).all()


def test_the_scoring_grid_is_in_units_of_sigma_and_the_root_of_the_horizon(markets, tmp_path):
    champions.bootstrap_all()
    _, brackets = replay(tmp_path)
    distances = {}
    for side, sign in (("buy", 1), ("sell", -1)):
        for bracket, multiples in (("1x1", (1, 1)), ("1.5x0.75", (1.5, 0.75)), ("0.75x1.5", (0.75, 1.5))):
            rows = brackets[(brackets.side == side) & (brackets.bracket == bracket)]
            for level, way, multiple in (("take_profit", sign, multiples[0]), ("stop_loss", -sign, multiples[1])):
                away = way * (rows[level] / rows.entry_price - 1) / multiple / np.sqrt(rows.horizon)
                distances[side, bracket, level] = away.to_numpy()
    reference = distances["buy", "1x1", "take_profit"]
    assert (reference > 0).all()
    for unit in distances.values():
        assert np.allclose(unit, reference, rtol=1e-6)


def test_replay_equals_live_bit_for_bit(markets, tmp_path):
    champions.bootstrap_all()
    ranges, brackets = replay(tmp_path)
    ensemble = registry.load_ensemble("exchange")
    for offset in (0, 17, 49):
        open_ms = FIRST + offset * STEP
        live = forecast_batch(markets, open_ms, 1, ensemble)
        for at, market in enumerate(markets):
            rows = ranges[(ranges.symbol == market.symbol) & (ranges.open_time == open_ms)]
            for k, horizon in enumerate(live.forecasts.ranges.horizons):
                row = rows[rows.horizon == horizon].iloc[0]
                assert [row[f"high_q{level}"] for level in LEVELS] == live.forecasts.ranges.high[at, k].tolist()
                assert [row[f"low_q{level}"] for level in LEVELS] == live.forecasts.ranges.low[at, k].tolist()
        for one in draft(live, open_ms + 2 * STEP, {}):
            rows = brackets[(brackets.symbol == one.market.symbol) & (brackets.open_time == open_ms)]
            assert rows.emitted.any() == (one.signal_type != "hold")
            if one.bracket:
                chosen = rows[
                    (rows.bracket == "chosen") & (rows.horizon == one.horizon) & (rows.side == one.considered_side)
                ]
                for name, value in one.bracket.items():
                    assert chosen.iloc[0][name] == value
            chosen = rows[rows.bracket == "chosen"]
            assert set(chosen.reasons) == {",".join(one.reasons)}


def test_csv_has_the_same_numbers_as_parquet(markets, tmp_path):
    champions.bootstrap_all()
    for packed, written in zip(replay(tmp_path), replay(tmp_path, "csv"), strict=True):
        plain = written.assign(reasons=written.reasons.fillna(""))
        pd.testing.assert_frame_equal(packed, plain, check_dtype=False, check_exact=False, rtol=1e-12)


def test_block_size_does_not_change_the_result(markets, tmp_path, monkeypatch):
    champions.bootstrap_all()
    whole = replay(tmp_path)
    monkeypatch.setattr("predictions.forecasting.forecast_batch.SPAN_BATCH_CANDLES", 7)
    for one, other in zip(whole, replay(tmp_path), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_without_champions_every_row_is_refused_with_its_reason(markets, tmp_path):
    ranges, brackets = replay(tmp_path)
    assert set(ranges.reasons) == set(brackets.reasons) == {"NO_CHAMPION"}
    assert len(ranges) == 50 * 2 * 4
    assert ranges.drop(columns=["symbol", "open_time", "horizon", "close", "reasons"]).isna().all(axis=None)
    assert brackets[BRACKET_COLUMNS[6:13]].isna().all(axis=None)
    assert not brackets.emitted.any()
    assert ranges.close.notna().all()


def test_an_expired_version_is_refused_in_replay_too(markets, tmp_path, settings):
    champions.bootstrap_all()
    ends = FIRST + 25 * STEP
    ModelVersion.objects.update(trained_until=clock.to_datetime(ends))
    settings.MODEL_MAX_AGE_DAYS = 0
    ranges, brackets = replay(tmp_path)
    for rows in (ranges, brackets):
        expired = rows.reasons.str.contains("MODEL_EXPIRED")
        assert (expired == (rows.open_time + STEP > ends)).all()
    assert ranges[ranges.open_time + STEP > ends].high_q50.isna().all()
    assert ranges[ranges.open_time + STEP <= ends].high_q50.notna().all()


def test_a_market_outside_the_training_set_and_a_hole_are_refused(tmp_path):
    fill("BTCUSDT", 1, skip={CANDLES - 20})
    fill("ETHUSDT", 2)
    champions.bootstrap_all(symbols=("BTCUSDT",))
    ranges, _ = replay(tmp_path)
    assert set(ranges[ranges.symbol == "ETHUSDT"].reasons) == {"NO_CHAMPION"}
    known = ranges[ranges.symbol == "BTCUSDT"]
    assert known.open_time.nunique() == 49
    holed = known[known.open_time > START + (CANDLES - 20) * STEP]
    assert set(holed.reasons) == {"GAP_IN_WINDOW"}
    assert known[known.open_time < START + (CANDLES - 20) * STEP].high_q50.notna().all()


def test_too_little_history_is_a_warm_up(markets, tmp_path):
    champions.bootstrap_all()
    ranges, _ = replay(tmp_path, start=START, end=START + 10 * STEP)
    assert set(ranges.reasons) == {"WARMUP"}


def test_chosen_versions_answer_instead_of_the_champions(markets, tmp_path):
    champions.bootstrap_all()
    with_champions, _ = replay(tmp_path)
    other = champions.candidate("range_predictor", seed=3)
    with_other, brackets = replay(tmp_path, versions=[other.digest[:12]])
    assert (with_other.high_q50 != with_champions.high_q50).any()
    assert set(brackets[brackets.bracket == "1x1"].reasons) == {"NO_CHAMPION"}
    replay(tmp_path, symbols=["ETHUSDT"], versions=[str(other.pk)])
    simulated = champions.candidate("range_predictor", seed=4, source="simulated")
    with pytest.raises(CommandError, match="serves only the source"):
        replay(tmp_path, versions=[str(simulated.pk)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"from": "yesterday"}, "is no time from 2017 to 2100"),
        ({"to": "2024-01-01"}, "must be before"),
        ({"from": "2024-12-15T00:01", "to": "2024-12-15T00:04"}, "a candle's open in between"),
        ({"brackets": "ranges.parquet"}, "a file each"),
        ({"symbols": ["DOGEUSDT"]}, "no enabled market is called DOGEUSDT"),
        ({"versions": ["nothing"]}, "names no version"),
        ({"ranges": "ranges.xlsx"}, "must end in .parquet or .csv"),
        ({"ranges": "nowhere/ranges.csv"}, "is not a folder"),
    ],
)
def test_invalid_argument_is_reported(tmp_path, options, words):
    Market.objects.create(symbol="BTCUSDT", source="exchange")
    arguments = {"from": "2024-12-15", "to": "2024-12-15T01:00:00+00:00", "ranges": "ranges.parquet", **options}
    named = {name: tmp_path / str(value) for name, value in arguments.items() if name in {"ranges", "brackets"}}
    rest = {name: value for name, value in arguments.items() if name in {"symbols", "versions"}}
    with pytest.raises(CommandError, match=words):
        call_command("replay_predictions", "--from", arguments["from"], "--to", arguments["to"], **named, **rest)
    assert not list(tmp_path.glob("*ranges*"))


def test_a_replay_without_a_file_is_refused():
    Market.objects.create(symbol="BTCUSDT", source="exchange")
    with pytest.raises(CommandError, match="name a file"):
        call_command("replay_predictions", "--from", "2024-12-01", "--to", "2024-12-02")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_failed_write_keeps_the_existing_file(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(b"the one before")

    def stopped_half_way():
        with TableFile(path) as table:
            table.write({"a": np.arange(3)})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_half_way()
    assert path.read_bytes() == b"the one before"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_disk_error_is_reported(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TableFile, "_rename", full)
    with pytest.raises(TableFileError, match="No space left"), TableFile(tmp_path / "rows.csv") as table:
        table.write({"a": np.arange(3)})
    assert not list(tmp_path.iterdir())


def test_progress_ends_at_the_total(capsys, tmp_path):
    fill("BTCUSDT", 1)
    ends = [FIRST - 1, FIRST + 3 * STEP + 1]
    call_command(
        "replay_predictions", "--from", str(ends[0]), "--to", str(ends[1]), "--ranges", str(tmp_path / "r.csv")
    )
    shares = [int(word) for word in re.findall(r"(\d+)%", capsys.readouterr().err)]
    assert shares
    assert max(shares) == 100
