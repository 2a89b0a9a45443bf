"""AUTO_PROMOTE: the nightly training, and it alone, replaces champions by their refreshes."""

import pytest

from marketdata import clock
from mlengine_project.operations import tasks
from mlengine_project.operations.jobs import control
from mlengine_project.operations.models import Job
from modelregistry import registry
from modelregistry.models import ModelVersion, PromotionEvent
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
REPORT = {
    "versus_champion": {"days": 41, "increase": 0.12, "increase_upper": 0.31},
    "refresh": {"accepted": True, "reasons": [], "margin": 0.5},
}


@pytest.fixture(autouse=True)
def model_folder(tmp_path, settings, monkeypatch):
    settings.MODEL_PATH = tmp_path / "models"
    settings.AUTO_PROMOTE = True
    monkeypatch.setattr(control, "_send", lambda _job_id: None)


@pytest.fixture
def pair():
    """A champion and its refresh."""
    champion, refresh = (champions.candidate(seed=seed, accepted=seed == 1) for seed in (1, 2))
    registry.bootstrap(champion, "tests", "first")
    ModelVersion.objects.filter(pk=refresh.pk).update(refresh_of=champion, report=REPORT)
    return champion, refresh


def ended(job, *versions, state=Job.State.SUCCEEDED):
    """The job as its run leaves it; the task then does what follows."""
    result = {"versions": [{"id": str(version.pk)} for version in versions]}
    Job.objects.filter(pk=job.pk).update(state=state, result=result, ended_at=clock.wall_now())
    tasks.run_job(str(job.pk))


def active():
    return ModelVersion.objects.get(stage="champion", kind="range_predictor")


def test_the_nightly_training_refreshes_the_champion_once(pair):
    refresh = pair[1]
    job = control.request_daily_training()
    ended(job, refresh)
    event = PromotionEvent.objects.first()
    assert (event.action, event.actor) == ("refresh", "schedule")
    assert (event.from_version, event.to_version) == pair
    assert "surely by at most +0.31 % (REFRESH_MARGIN 0.5 %)" in event.reason
    assert active() == refresh
    tasks.run_job(str(job.pk))
    assert PromotionEvent.objects.count() == 2, "the bootstrap and the refresh"


def test_no_champion_is_replaced_while_auto_promote_is_off(pair, settings):
    settings.AUTO_PROMOTE = False
    ended(control.request_daily_training(), pair[1])
    assert active() == pair[0]
    assert PromotionEvent.objects.count() == 1


@pytest.mark.parametrize("state", [Job.State.FAILED, Job.State.CANCELLED])
def test_a_training_that_failed_refreshes_nothing(pair, state):
    ended(control.request_daily_training(), pair[1], state=state)
    assert active() == pair[0]


def test_a_training_that_a_person_started_refreshes_nothing(pair):
    ended(control.request_training("olga", {"kinds": ["range_predictor"]}), pair[1])
    assert active() == pair[0]


def test_versions_that_are_no_refresh_stay_candidates(pair):
    surely_better = champions.candidate(seed=5, accepted=True)
    ended(control.request_daily_training(), surely_better)
    assert active() == pair[0], "the rule is for refreshes; another recipe is promoted by a person"
