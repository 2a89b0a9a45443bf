"""Jobs over REST: requested with typed arguments, listed, and cancelled."""

import json

import pytest

from marketdata.models import Market
from mlengine_project.operations.jobs import runs
from mlengine_project.operations.models import Job

pytestmark = pytest.mark.django_db
JSON = {"content_type": "application/json"}


@pytest.fixture(autouse=True)
def queued(monkeypatch):
    """Queued job ids; no job runs."""
    sent = []
    monkeypatch.setattr("mlengine_project.operations.jobs.control._send", sent.append)
    return sent


@pytest.fixture
def markets():
    for symbol, enabled in (("BTCUSDT", True), ("ETHUSDT", True), ("OLDUSDT", False)):
        Market.objects.create(symbol=symbol, source="simulated", enabled=enabled)


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ({"kind": "training"}, {}),
        ({"kind": "backfill", "arguments": {}}, {}),
        (
            {"kind": "training", "arguments": {
                "kinds": ["range_predictor"], "symbols": ["ETHUSDT", "BTCUSDT", "ETHUSDT"], "source": "simulated",
                "from": "2024-01-01T01:00:00+01:00", "until": 1735689600000, "seed": 7, "workers": 2, "small": True}},
            {"kinds": ["range_predictor"], "symbols": ["ETHUSDT", "BTCUSDT"], "source": "simulated",
             "from": "2024-01-01T00:00:00Z", "until": "2025-01-01T00:00:00Z", "seed": 7, "workers": 2, "small": True},
        ),
        (
            {"kind": "backfill", "arguments": {"symbols": ["BTCUSDT"], "from": "2024-01-01"}},
            {"symbols": ["BTCUSDT"], "from": "2024-01-01T00:00:00Z"},
        ),
    ],
)  # fmt: skip
def test_a_job_is_requested_with_typed_arguments(
    caller, markets, queued, body, stored, django_capture_on_commit_callbacks
):
    client = caller("admin")
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/jobs", body, **JSON)
    job = answer.json()
    assert answer.status_code == 202, job
    assert (job["kind"], job["state"], job["arguments"]) == (body["kind"], "pending", stored)
    assert (job["asked_by"], job["result"], queued) == ("admin caller", {}, [job["id"]])
    assert client.get(f"/jobs/{job['id']}").json() == job
    assert client.get("/jobs").json()["results"] == [job]
    words = runs.command_line(Job.objects.get())
    assert words[2] == {"training": "train_models", "backfill": "backfill_candles"}[body["kind"]]


@pytest.mark.parametrize(
    ("body", "where", "named"),
    [
        ({}, ["kind"], "required"),
        ([], ["request"], ""),
        ({"kind": "bootstrap"}, ["kind"], "training, backfill"),
        ({"kind": "Training"}, ["kind"], "training, backfill"),
        ({"kind": {}}, ["kind"], "training, backfill"),
        ({"kind": "training", "argumentz": {}}, ["argumentz"], "arguments, kind"),
        ({"kind": "training", "arguments": []}, ["arguments"], ""),
        ({"kind": "training", "arguments": None}, ["arguments"], "null"),
        ({"kind": "training", "arguments": {"days": 3}}, ["arguments", "days"],
         "from, kinds, seed, small, source, symbols, until, workers"),
        ({"kind": "backfill", "arguments": {"small": True}}, ["arguments", "small"], "from, symbols, until"),
        ({"kind": "backfill", "arguments": {"--json": True}}, ["arguments", "--json"], "from, symbols, until"),
        ({"kind": "training", "arguments": {"kinds": ["oracle"]}}, ["arguments", "kinds"], "range_predictor"),
        ({"kind": "training", "arguments": {"kinds": "range_predictor"}}, ["arguments", "kinds"], "list"),
        ({"kind": "training", "arguments": {"kinds": []}}, ["arguments", "kinds"], "empty"),
        ({"kind": "training", "arguments": {"source": "dreams"}}, ["arguments", "source"], "exchange, simulated"),
        ({"kind": "training", "arguments": {"small": "yes"}}, ["arguments", "small"], "true or false"),
        ({"kind": "training", "arguments": {"small": 1}}, ["arguments", "small"], "true or false"),
        ({"kind": "training", "arguments": {"seed": -1}}, ["arguments", "seed"], "0"),
        ({"kind": "training", "arguments": {"seed": True}}, ["arguments", "seed"], "integer"),
        ({"kind": "training", "arguments": {"workers": 0}}, ["arguments", "workers"], "1"),
        ({"kind": "training", "arguments": {"symbols": ["NOPE"]}}, ["arguments", "symbols"], "BTCUSDT, ETHUSDT"),
        ({"kind": "training", "arguments": {"symbols": ["--until"]}}, ["arguments", "symbols"], "BTCUSDT, ETHUSDT"),
        ({"kind": "training", "arguments": {"symbols": ["BTCUSDT"], "source": "exchange"}},
         ["arguments", "symbols"], "enabled"),
        ({"kind": "backfill", "arguments": {"symbols": [1]}}, ["arguments", "symbols"], "string"),
        ({"kind": "backfill", "arguments": {"from": "tomorrow"}}, ["arguments", "from"], "ISO 8601"),
        ({"kind": "backfill", "arguments": {"from": 1700000000}}, ["arguments", "from"], "2000"),
        ({"kind": "backfill", "arguments": {"from": "2001-01-01"}}, ["arguments", "from"], "2017"),
        ({"kind": "backfill", "arguments": {"from": True}}, ["arguments", "from"], "ISO 8601"),
        ({"kind": "backfill", "arguments": {"from": "2024-01-02", "until": "2024-01-02"}},
         ["arguments", "from"], "before"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)  # fmt: skip
def test_invalid_field_is_refused_by_name(caller, markets, body, where, named):
    answer = caller("admin").post("/jobs", body, **JSON)
    error = answer.json()
    assert (answer.status_code, error["error"]) == (400, "ValidationError"), error
    sentences = " ".join(error["details"][where[0]])
    assert f"[{where[-1]}]" in sentences or len(where) == 1
    assert named in sentences
    assert not Job.objects.exists()


def test_disabled_market_is_a_conflict(caller, markets):
    body = {"kind": "backfill", "arguments": {"symbols": ["OLDUSDT"]}}
    answer = caller("admin").post("/jobs", body, **JSON)
    assert (answer.status_code, answer.json()["error"]) == (409, "MarketDisabled")


@pytest.mark.parametrize("scope", ["read", "predict"])
def test_reading_needs_read_and_requesting_needs_admin(caller, markets, scope):
    job = Job.objects.create(kind="training")
    client = caller(scope)
    assert client.get("/jobs").status_code == client.get(f"/jobs/{job.pk}").status_code == 200
    assert client.post("/jobs", {"kind": "training"}, **JSON).status_code == 403
    assert client.post(f"/jobs/{job.pk}/cancel").status_code == 403
    job.refresh_from_db()
    assert (job.state, Job.objects.count()) == ("pending", 1)


def test_a_repeat_before_it_has_ended_gives_the_same_job(caller, markets):
    client = caller("admin")
    body = {"kind": "training", "arguments": {"seed": 3, "small": True}}

    def request_job(**changed):
        answer = client.post("/jobs", body | changed, **JSON)
        assert answer.status_code == 202
        return answer.json()["id"]

    first = request_job()
    assert request_job(arguments={"small": True, "seed": 3}) == first
    assert request_job(arguments={"small": True, "seed": 4}) != first
    assert request_job(kind="backfill", arguments={}) != first
    Job.objects.filter(id=first).update(state="running")
    assert request_job() == first
    runs._end(Job.objects.get(id=first), "failed", "no candles")
    second = request_job()
    assert second != first
    assert client.post(f"/jobs/{second}/cancel").json()["state"] == "cancelled"
    assert request_job() not in {first, second}


def test_cancelling_is_accepted_whatever_the_state(caller):
    client = caller("admin")
    for state, after in (("pending", "cancelled"), ("running", "running"), ("failed", "failed")):
        job = Job.objects.create(kind="backfill", state=state)
        answer = client.post(f"/jobs/{job.pk}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, after)
        job.refresh_from_db()
        assert job.cancel_requested is (state != "failed")
    assert client.post("/jobs/00000000-0000-0000-0000-000000000000/cancel").status_code == 404
    assert client.post("/jobs/x/cancel").status_code == 404


def test_request_is_stored_without_a_broker(caller, monkeypatch, django_capture_on_commit_callbacks):
    from kombu.exceptions import OperationalError

    def refuse(_):
        raise OperationalError("redis is unavailable")

    monkeypatch.setattr("mlengine_project.operations.jobs.control._send", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        answer = caller("admin").post("/jobs", {"kind": "training"}, **JSON)
    assert (answer.status_code, Job.objects.get().state) == (202, "pending")
