"""Console pages: board, market, models, and the landing page of anonymous visitors."""

import re

import pytest
from django.urls import reverse

from marketdata.process_state import process_state
from mlengine_project.operations.models import Job
from modelregistry.artifacts.verification import Verdicts
from modelregistry.models import Kind
from modelregistry.registry.serving import LoadedVersions
from signals import kill_switch
from signals.models import SignalSwitch
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
PAGES = ["/", "/market/BTCUSDT", "/console/models"]
FRAGMENTS = [
    "/console/cards",
    "/console/notices",
    "/console/panels/BTCUSDT",
    "/console/record-panel?symbol=BTCUSDT",
    "/console/chart/BTCUSDT?horizon=6",
]


def words(response):
    """The text of a page without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_anonymous_visitor_gets_the_landing_page_without_prices(client):
    of = rows.market()
    rows.candles(of, price=4321)
    rows.signal(of, **rows.BUY)
    shown = client.get("/")
    assert shown.status_code == 200
    assert "Sign in to the console" in words(shown)
    assert "4,3" not in words(shown)
    assert "BTCUSDT" not in words(shown)


def test_anonymous_visitor_does_not_see_why_signals_are_off(client):
    SignalSwitch.objects.create(symbol="", off=True, reason="the exchange is lying", changed_by="olga")
    shown = words(client.get("/"))
    assert "Signals are switched off for all markets" in shown
    assert "lying" not in shown
    assert "olga" not in shown


@pytest.mark.parametrize("path", PAGES[1:])
def test_anonymous_visitor_returns_to_the_page_after_signing_in(client, django_user_model, path):
    django_user_model.objects.create_user("ada", password="a long secret")
    sent = client.get(path)
    assert sent.status_code == 302
    assert sent["Location"].startswith("/?next=")
    landing = client.get(sent["Location"])
    assert f'name="next" value="{path}"' in landing.content.decode()
    back = client.post("/console/sign-in", {"username": "ada", "password": "a long secret", "next": path})
    assert back["Location"] == path


@pytest.mark.parametrize("path", FRAGMENTS)
def test_fragment_without_a_session_is_401(client, path):
    rows.market()
    assert client.get(path).status_code == 401


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_external_url_and_no_inline_script(admin_client, path):
    rows.one_of_everything()
    page = admin_client.get(path).content.decode()
    outside = re.findall(r'(?:src|href|action)="(?:https?:)?//[^"]+', page)
    # The licence of the chart library requires exactly this link.
    assert [link for link in outside if "https://www.tradingview.com/" not in link] == []
    assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
    assert not re.findall(r"\son\w+=|\sstyle=|javascript:", page)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_shows_whether_prices_are_simulated(admin_client, path):
    of = rows.market()
    rows.candles(of)
    assert "Prices are simulated" in words(admin_client.get(path))
    of.source = "exchange"
    of.save()
    assert "Prices are simulated" not in words(admin_client.get(path))


def test_card_shows_price_ranges_and_signal_with_probabilities(admin_client):
    of = rows.market()
    rows.candles(of, price=100)
    for horizon in rows.HORIZONS:
        rows.prediction(of, horizon, price=111.9)
    rows.signal(of, **rows.BUY)
    shown = words(admin_client.get("/"))
    assert "111.9" in shown
    for span in ("30 min", "1 h 30", "3 h", "6 h"):
        assert span in shown
    assert "take-profit 101.5 , stop-loss 99.2" in shown
    assert "42.0 % vs 39.5 % to break even" in shown
    assert "+0.12 % expected" in shown
    assert "valid until 00:05:15" in shown


def test_refusal_is_shown_as_text_until_it_expires(admin_client, just_after_a_close):
    of = rows.market()
    rows.candles(of)
    rows.signal(of, reasons=["OUT_OF_DISTRIBUTION", "INTERVAL_TOO_WIDE"])
    shown = words(admin_client.get("/"))
    assert "The market is unlike the training set; the predicted range is too wide to act on" in shown
    just_after_a_close.advance(320)
    assert "expired" in words(admin_client.get("/"))


def test_expired_ranges_are_not_shown(admin_client, just_after_a_close):
    of = rows.market()
    rows.candles(of)
    rows.prediction(of, 6, price=111.9)
    for kind in ("range_predictor", "tpsl_classifier", "signal_classifier"):
        rows.version(kind, stage="champion")
    assert "30 min" in words(admin_client.get("/"))
    assert admin_client.get("/console/chart/BTCUSDT?horizon=6").json()["ahead"] is not None
    just_after_a_close.advance(320)
    shown = words(admin_client.get("/"))
    assert "30 min" not in shown
    assert "The last one, from the candle of 31 Dec 23:55 , has expired." in shown
    assert admin_client.get("/console/chart/BTCUSDT?horizon=6").json()["ahead"] is None


def test_unloadable_champion_is_shown(admin_client, settings, tmp_path):
    from modelregistry import registry

    settings.MODEL_PATH = tmp_path
    process_state.drop(LoadedVersions, Verdicts)
    rows.candles(rows.market())
    rows.version(stage="champion")
    assert registry.load_ensemble("simulated") is None
    assert "Range predictor is not serving" in words(admin_client.get("/"))
    process_state.drop(LoadedVersions, Verdicts)
    assert "is not serving" not in words(admin_client.get("/"))


def test_old_data_is_marked_as_late(admin_client, just_after_a_close):
    rows.candles(rows.market())
    assert 'data-state="live"' in admin_client.get("/").content.decode()
    just_after_a_close.advance(320)
    assert 'data-state="late"' in admin_client.get("/").content.decode()


def test_board_without_a_market_gives_advice(admin_client):
    shown = words(admin_client.get("/"))
    assert "No market is enabled" in shown
    assert "SUPPORTED_SYMBOLS" in shown


def test_card_shows_training_progress(admin_client):
    rows.candles(rows.market())
    assert "No active model yet." in words(admin_client.get("/"))
    Job.objects.create(kind="training", state="running", progress=0.43, message="fold 3 of 5")
    shown = admin_client.get("/")
    assert "Models are training: 43 %" in words(shown)
    assert "fold 3 of 5" in words(shown)
    assert '<progress max="1" value="0.430"' in shown.content.decode()


def test_a_training_beside_active_models_is_not_given_as_the_reason_of_a_missing_prediction(admin_client):
    rows.candles(rows.market())
    waits = "Ranges and signals start when training is done."
    Job.objects.create(kind="training", state="running", progress=0.43)
    assert waits in words(admin_client.get("/"))
    for kind in Kind:
        rows.version(kind.value, stage="champion")
    shown = words(admin_client.get("/"))
    assert waits not in shown
    assert "The first one comes with the next closed candle." in shown


def test_notices_lead_to_the_pages_where_the_decision_is_made(admin_client):
    rows.candles(rows.market())
    Job.objects.create(kind="training", state="running")
    kill_switch.set_switch("", off=True, reason="implausible prices", actor="ada")
    notices = admin_client.get("/console/notices").content.decode()
    assert re.findall(r'href="([^"]+)"', notices) == ["/console/operations", "/console/models"]


def test_only_the_requested_cards_are_returned(admin_client):
    for symbol in ("BTCUSDT", "ETHUSDT"):
        rows.candles(rows.market(symbol))
    assert "<article" not in admin_client.get("/console/cards").content.decode()
    one = admin_client.get("/console/cards?symbols=ETHUSDT,NOPE").content.decode()
    assert re.findall(r'data-symbol="(\w+)"', one) == ["ETHUSDT"]


def test_fragments_have_the_market_time(admin_client):
    answer = admin_client.get("/console/notices")
    assert int(answer["X-Market-Ms"]) == rows.BEGIN + 2_000
    assert float(answer["X-Market-Rate"]) == 1.0


def test_board_has_a_fixed_number_of_queries(admin_client, django_assert_max_num_queries):
    for number in range(12):
        of = rows.market(f"COIN{number}USDT")
        rows.candles(of, 5)
        rows.prediction(of, 6)
        rows.signal(of)
    with django_assert_max_num_queries(16):
        admin_client.get("/")


def test_market_page_groups_consecutive_equal_refusals(admin_client):
    of = rows.market()
    rows.candles(of)
    for seq in range(1, 8):
        rows.signal(of, seq, rows.BEGIN - (8 - seq) * rows.STEP)
    rows.signal(of, 8, rows.BEGIN, **rows.BUY, outcome="tp", pnl_percent="1.2500")
    shown = words(admin_client.get("/market/BTCUSDT"))
    assert "× 7" in shown
    assert "Take-profit +1.25 % provisional" in shown


def test_the_market_page_accounts_for_missing_and_absent_candles(admin_client):
    from marketdata.models import AbsentStretch, Candle

    of = rows.market()
    kept = rows.candles(of, 100)
    Candle.objects.filter(open_time__in=[kept[40].open_time, kept[41].open_time, kept[50].open_time]).delete()
    AbsentStretch.objects.create(market=of, start=kept[40].open_time, end=kept[42].open_time, evidence={})
    shown = words(admin_client.get("/market/BTCUSDT"))
    assert "97 of 100 candles stored" in shown
    assert "1 missing" in shown
    assert "2 absent at the exchange" in shown


def test_an_unknown_or_disabled_market_has_no_page(admin_client):
    rows.market("ETHUSDT", enabled=False)
    for symbol in ("ETHUSDT", "NOPE", "x" * 300):
        missing = admin_client.get(f"/market/{symbol}")
        assert missing.status_code == 404
        assert "is not followed" in words(missing)


def test_models_page_shows_the_champions_of_the_engines_own_prices(admin_client):
    champion = rows.version(stage="champion", accepted=False, unproven=True)
    rows.version(seed=1)
    shown = words(admin_client.get("/console/models"))
    assert champion.digest[:10] not in shown, "an exchange engine is not answered by a simulated champion"
    rows.market()
    shown = words(admin_client.get("/console/models"))
    assert champion.digest[:10] in shown
    assert "unproven" in shown
    assert "Range predictor: not proven. +3.10 %, interval unknown" in shown
    assert "Candidates 1" in shown
    assert shown.count(": no active version.") == 2


def test_pages_are_not_cached(admin_client):
    rows.market()
    for path in (*PAGES, *FRAGMENTS):
        answer = admin_client.get(path)
        assert answer.status_code == 200
        assert "no-store" in answer["Cache-Control"]


def test_signing_out_needs_a_post(admin_client):
    assert admin_client.get(reverse("console:sign_out")).status_code == 405
    admin_client.post(reverse("console:sign_out"))
    assert "Sign in to the console" in words(admin_client.get("/"))


def test_many_markets_come_as_rows_without_the_parts_that_rows_hide(admin_client, monkeypatch):
    from mlengine_project.console import views

    of = rows.market()
    rows.candles(of)
    rows.prediction(of, 6, price=111.9)
    rows.signal(of, **rows.BUY)
    assert "to break even" in words(admin_client.get("/console/cards?symbols=BTCUSDT"))
    light = admin_client.get("/console/cards?view=rows&symbols=BTCUSDT")
    assert "to break even" not in words(light)
    assert "take-profit 101.5" in words(light)
    monkeypatch.setattr(views, "MAX_WHOLE_CARDS", 0)
    assert 'data-view="rows"' in admin_client.get("/").content.decode()


def test_markets_beyond_the_first_come_by_name(admin_client, monkeypatch):
    from mlengine_project.console import views

    monkeypatch.setattr(views, "FIRST_CARDS", 1)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        rows.candles(rows.market(symbol), 2)
    board = admin_client.get("/").content.decode()
    assert board.count('class="price"') == 1
    assert 'data-symbol="ETHUSDT" data-state="loading"' in board
    assert 'class="price"' in admin_client.get("/console/cards?symbols=ETHUSDT").content.decode()
