"""promote_model and rollback_model: output and refusals."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from marketdata.models import Market
from modelregistry import registry
from modelregistry.models import ModelVersion, PromotionEvent
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
KIND = "range_predictor"


def run(*arguments):
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def champion():
    return ModelVersion.objects.get(kind=KIND, stage="champion").seed


def test_promote_by_id_or_digest_and_roll_back():
    first, second = champions.candidate(seed=0), champions.candidate(seed=1)
    assert "before: no champion" in run("promote_model", str(first.pk), "--reason", "first")
    assert f"before: {first}" in run("promote_model", second.digest[:10], "--reason", "better")
    assert champion() == 1
    output = run("rollback_model", KIND, "--reason", "it drifts")
    assert output == f"rolled back from {second} to {first}\n"
    assert champion() == 0
    assert PromotionEvent.objects.count() == 3


def test_rolling_back_means_the_source_of_the_enabled_markets():
    Market.objects.create(symbol="BTCUSDT", source="simulated")
    first, second = (champions.candidate(seed=seed, source="simulated") for seed in (0, 1))
    for version in (first, second):
        run("promote_model", str(version.pk), "--reason", "why")
    assert run("rollback_model", KIND, "--reason", "it drifts") == f"rolled back from {second} to {first}\n"


def test_the_command_shows_gate_refusals_and_overrides():
    version = champions.candidate(accepted=False)
    with pytest.raises(CommandError, match="it does not beat EWM"):
        run("promote_model", str(version.pk), "--reason", "please")
    assert "against the gate's verdict" in run("promote_model", str(version.pk), "--reason", "a drill", "--override")


@pytest.mark.parametrize("name", ["nothing", "00000000-0000-0000-0000-000000000000", ""])
def test_an_unknown_version_is_an_error_message(name):
    with pytest.raises(CommandError, match="names no version"):
        run("promote_model", name, "--reason", "why")


def test_there_must_be_something_to_roll_back_and_a_reason():
    with pytest.raises(CommandError, match="is left to undo"):
        run("rollback_model", KIND, "--reason", "why")
    with pytest.raises(CommandError, match="a reason is required"):
        run("rollback_model", KIND, "--reason", " ")
    with pytest.raises(CommandError, match="--reason"):
        run("rollback_model", KIND)


def test_a_promotion_warns_before_champions_lose_their_common_horizons(monkeypatch, client, admin_user):
    champions.bootstrap_all()
    alone, partly = (other(monkeypatch, horizons) for horizons in ((12, 48), (12, 18)))
    words = "this version has horizons 12, 48, the champion Range predictor 6, 18, 36, 72"
    client.force_login(admin_user)
    page = client.get(reverse("admin:modelregistry_modelversion_promote", args=[alone.pk])).content.decode()
    assert "with no horizon in common every signal will be a hold" in page
    warned = StringIO()
    call_command("promote_model", str(partly.pk), "--reason", "why", stdout=StringIO(), stderr=warned)
    assert "signals will be chosen among 18 alone" in warned.getvalue()
    warned = StringIO()
    call_command("promote_model", str(alone.pk), "--reason", "why", stdout=StringIO(), stderr=warned)
    assert f"warning: {words}" in warned.getvalue()
    (warning,) = registry.promotion_warnings(champions.candidate(seed=9))
    assert warning.startswith("this version has horizons 6, 18, 36, 72, the champion TP/SL classifier 12, 48: with")


def test_no_warning_where_horizons_agree_or_the_other_kind_is_missing(monkeypatch):
    assert registry.promotion_warnings(other(monkeypatch, (12, 48))) == []
    champions.bootstrap_all()
    assert registry.promotion_warnings(champions.candidate(seed=9)) == []
    assert registry.promotion_warnings(champions.candidate("signal_classifier", seed=9)) == []


def test_markets_only_the_champion_covers_are_warned_of():
    """A training excludes markets with too little history; once promoted, it would refuse them."""
    for symbol, enabled in {"BTCUSDT": True, "ETHUSDT": True, "SOLUSDT": False, "XRPUSDT": True}.items():
        Market.objects.create(symbol=symbol, source="exchange", enabled=enabled)
    champions.bootstrap_all(symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"))
    fewer = {kind: champions.candidate(kind, 9, symbols=("BTCUSDT",)) for kind in champions.KINDS}
    (warning,) = registry.promotion_warnings(fewer["range_predictor"])
    assert warning == "this version was trained without ETHUSDT: predictions there will be refused with NO_CHAMPION"
    assert registry.promotion_warnings(fewer["tpsl_classifier"]) == [warning]
    assert registry.promotion_warnings(fewer["signal_classifier"]) == []
    more = champions.candidate(seed=10, symbols=("BTCUSDT", "ETHUSDT", "XRPUSDT"))
    assert registry.promotion_warnings(more) == []


def other(monkeypatch, horizons):
    """A bracket candidate with other horizons."""
    with monkeypatch.context() as patch:
        patch.setattr(champions, "HORIZONS", horizons)
        return champions.candidate("tpsl_classifier", seed=sum(horizons))
