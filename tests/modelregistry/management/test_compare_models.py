"""compare_models: paired losses of two versions on candles that neither was trained on."""

import json
from datetime import UTC, datetime
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from indicators.features import WARMUP
from marketdata import clock
from modelregistry import services
from modelregistry.models import VersionComparison
from modelregistry.registry.comparisons import comparisons_of
from tests.modelregistry import champions, stored_candles

pytestmark = pytest.mark.django_db


@pytest.fixture
def span():
    """Arguments of three days of stored candles, all before the training of the versions."""
    opens = stored_candles.market(WARMUP + 18 * 288, seed=3)
    return ["--from", str(opens[-3 * 288]), "--to", str(int(opens[-1]) + 300_000), "--stride", "6"]


def pair(kind="range_predictor"):
    return [champions.candidate(kind, seed, "simulated", ("AUSDT",)) for seed in (1, 2)]


def run(*arguments):
    output = StringIO()
    call_command("compare_models", *map(str, arguments), stdout=output, stderr=StringIO())
    return output.getvalue()


@pytest.mark.parametrize("kind", champions.KINDS)
def test_one_sentence_then_a_row_for_every_market_and_horizon(span, kind):
    first, second = pair(kind)
    lines = run(first.pk, second.digest[:12], *span).splitlines()
    assert str(first) in lines[0]
    assert str(second) in lines[0]
    assert lines[1] == ""
    rows = [line.split() for line in lines if line.split()[:1] == ["AUSDT"]]
    assert [row[1] for row in rows] == [str(horizon) for horizon in first.horizons]
    assert max(map(len, lines[1:])) <= 120


def test_json_holds_the_same_and_the_order_turns_the_sign(span):
    first, second = pair()
    one, other = (
        json.loads(run(*versions, *span, "--json")) for versions in ((first.pk, second.pk), (second.pk, first.pk))
    )
    assert one["versions"] == [str(first.pk), str(second.pk)]
    assert (one["source"], one["symbols"], one["stride"]) == ("simulated", ["AUSDT"], 6)
    for here, there in zip(one["cells"], other["cells"], strict=True):
        assert here["first_loss"] == there["second_loss"]
        assert np.sign(here["gain"]) == -np.sign(there["gain"]) != 0
        assert here["p_value"] == pytest.approx(there["p_value"])


def test_losses_are_those_of_an_evaluation(span):
    """The Brier score of a direction is the same figure in both commands."""
    first, second = pair("signal_classifier")
    found = json.loads(run(first.pk, second.pk, *span, "--json"))
    scored = services.evaluate(int(span[1]), int(span[3]), [first], stride=6)
    assert found["cells"][0]["first_loss"] == pytest.approx(scored["signal_classifier"]["cells"][0]["brier"])


def test_a_period_inside_a_training_is_refused_by_the_name_of_the_version(span):
    first, second = pair()
    second.trained_from = datetime(2023, 1, 1, tzinfo=UTC)
    second.trained_until = clock.to_datetime(int(span[1]) + 300_000)
    second.save()
    with pytest.raises(CommandError) as refused:
        run(first.pk, second.pk, *span)
    assert str(second) in str(refused.value)
    assert str(first) not in str(refused.value)
    assert f"{second.trained_until:%Y-%m-%d %H:%M}" in str(refused.value)
    second.trained_until = clock.to_datetime(int(span[1]))
    second.save()
    assert str(second) in run(first.pk, second.pk, *span), "its training ends where the period begins"


def test_versions_that_cannot_be_compared_are_refused(span):
    first, second = pair()
    other_kind = champions.candidate("signal_classifier", 1, "simulated", ("AUSDT",))
    elsewhere = champions.candidate("range_predictor", 1, "exchange", ("AUSDT",))
    for one, words in ((other_kind, "one kind"), (elsewhere, "one source"), (first, "two versions")):
        with pytest.raises(CommandError, match=words):
            run(first.pk, one.pk, *span)
    second.horizons = [12]
    second.save()
    with pytest.raises(CommandError, match="no horizon in common"):
        run(first.pk, second.pk, *span)
    second.symbols = ["BUSDT"]
    second.save()
    with pytest.raises(CommandError, match="no market in common"):
        run(first.pk, second.pk, *span)


def test_a_period_turned_round_is_refused():
    first, second = pair()
    with pytest.raises(CommandError, match="--from must be before --to"):
        run(first.pk, second.pk, "--from", "2025-02-01", "--to", "2025-01-01")


def test_the_result_is_kept_with_both_versions_and_renewed_when_asked_again(span):
    first, second = pair("signal_classifier")
    found = [json.loads(run(first.pk, second.pk, *span, "--json")) for _ in range(2)]
    (kept,) = VersionComparison.objects.all()
    assert [one["id"] for one in found] == [kept.pk] * 2
    assert kept.result == {name: value for name, value in found[1].items() if name != "id"}
    assert {"gain", "lower", "upper", "p_value", "effective_n"} <= set(kept.result["cells"][0])
    assert list(comparisons_of(first)) == list(comparisons_of(second)) == [kept]
