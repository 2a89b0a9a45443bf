"""Retention: which versions keep their files, removal, and errors without files."""

import json
import os
import time
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from marketdata import clock
from marketdata.models import Market
from mlengine_project.operations import retention as operations
from mlengine_project.operations.models import Heartbeat
from modelregistry import artifacts, registry
from modelregistry.artifacts import removal
from modelregistry.errors import FilesRemovedError
from modelregistry.models import ModelVersion, PromotionEvent
from modelregistry.registry import retention
from predictions.challengers import silent
from tests.modelregistry import champions

pytestmark = pytest.mark.django_db
KIND = "range_predictor"
DAY_SECONDS = 86_400


@pytest.fixture(autouse=True)
def model_path(model_folder, settings):
    settings.MODEL_RETENTION = 3
    return model_folder


def version(number, stage="candidate", kind=KIND, source="exchange"):
    """A row `number` days younger than the first, with a folder."""
    now = clock.wall_now()
    made = ModelVersion.objects.create(
        kind=kind, source=source, stage=stage, digest=uuid.uuid4().hex * 2, symbols=["BTCUSDT"], horizons=[6],
        trained_from=now, trained_until=now, row_count=1, seed=number, report={"skill": 0.01},
    )  # fmt: skip
    ModelVersion.objects.filter(pk=made.pk).update(created_at=now - timedelta(days=100 - number))
    made.refresh_from_db()
    folder(made).mkdir(parents=True)
    (folder(made) / "manifest.json").write_bytes(b"x" * 1000)
    return made


def folder(version):
    return artifacts.model_root() / version.kind / version.digest


def promoted(version, before=None, action="promote", undoes=None):
    """The log's row of a promotion or rollback, and the stages after it."""
    if before is not None:
        ModelVersion.objects.filter(pk=before.pk).update(stage="retired")
    ModelVersion.objects.filter(pk=version.pk).update(stage="champion")
    return PromotionEvent.objects.create(
        kind=version.kind, source=version.source, action=action, from_version=before, to_version=version,
        undoes=undoes, actor="tests", reason="tests",
    )  # fmt: skip


def promoted_in_turn(count):
    made = [version(number) for number in range(count)]
    for before, after in zip([None, *made], made, strict=False):
        promoted(after, before)
    return made


def numbers(versions):
    return sorted(one.seed for one in versions)


def kept(**which):
    return numbers(one for one in ModelVersion.objects.filter(**which) if one.files_kept and folder(one).is_dir())


def age(path, days):
    at = time.time() - days * DAY_SECONDS
    os.utime(path, (at, at))


def test_champion_newest_promoted_and_newest_candidates_keep_their_files_and_all_rows_stay():
    promoted_in_turn(25)
    candidates = [version(number) for number in range(30, 36)]
    others = [version(number, source="simulated") for number in range(40, 42)]
    rows = ModelVersion.objects.count()

    planned = retention.prune([], dry_run=True)
    assert len(kept()) == rows
    removed = retention.prune([])
    assert removed == planned
    assert kept(source="exchange") == [*range(4, 25), 33, 34, 35]  # 4 was replaced by 5: a rollback may need it
    assert kept(source="simulated") == numbers(others)
    assert ModelVersion.objects.count() == rows

    old, retired = ModelVersion.objects.get(pk=candidates[0].pk), ModelVersion.objects.get(seed=0)
    assert old.files_removed_reason == "not among the newest 3 candidates (MODEL_RETENTION)"
    assert retired.files_removed_reason == "retired, and not among the newest 20 promoted"
    assert (old.report, old.files_kept, old.stage) == ({"skill": 0.01}, False, "candidate")
    assert sum(one.size_bytes for one in removed) == 1000 * len(removed) == 7000
    assert retention.prune([]) == []


def test_versions_for_the_next_rollback_keep_their_files():
    below, champion = promoted_in_turn(2)
    for number in range(10, 35):
        event = promoted(version(number), champion)
        promoted(champion, event.to_version, action="rollback", undoes=event)
    retention.prune([])
    assert folder(below).is_dir()
    assert folder(champion).is_dir()
    assert kept(stage="retired") == [0, *range(16, 35)]


def test_loaded_versions_and_challengers_keep_their_files(settings):
    settings.MODEL_RETENTION = 1
    promoted_in_turn(1)
    loaded, spare, *_ = [version(number) for number in range(10, 15)]
    Heartbeat.objects.create(
        name="web:1", part="web", at=clock.wall_now(), detail={"loaded": {"exchange": {KIND: str(loaded.pk)}}}
    )
    operations.prune()
    assert kept(stage="candidate") == [10, 13, 14]  # two challengers, though one candidate is enough
    assert not folder(spare).exists()
    assert [found.seed for found, _ in silent.candidates_of("exchange")] == [14, 13]


def test_shared_files_are_removed_with_their_last_version(settings):
    first = version(0)
    ModelVersion.objects.filter(pk=version(1, source="simulated").pk).update(digest=first.digest)
    for number in range(2, 5):
        version(number)
    retention.prune([])
    assert not ModelVersion.objects.get(pk=first.pk).files_kept
    assert folder(first).is_dir()


def test_a_removal_interrupted_before_the_row_is_marked_is_undone_and_done_again(monkeypatch):
    versions = [version(number) for number in range(4)]

    def interrupted(*arguments):
        assert mark_for_removal(*arguments)
        raise KeyboardInterrupt

    mark_for_removal = removal.mark_for_removal
    monkeypatch.setattr(removal, "mark_for_removal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        retention.prune([])
    monkeypatch.undo()
    assert not folder(versions[0]).exists()
    assert ModelVersion.objects.get(pk=versions[0].pk).files_kept

    retention.prune([str(versions[0].pk)])
    assert folder(versions[0]).is_dir(), "its row was not marked, so its files are back"
    retention.prune([])
    assert not folder(versions[0]).exists()


def test_a_removal_interrupted_after_the_row_is_marked_is_finished(monkeypatch):
    oldest, *_ = [version(number) for number in range(4)]
    monkeypatch.setattr(removal, "delete_marked", lambda *_: None)
    retention.prune([])
    monkeypatch.undo()
    assert removal.marked_artifacts(artifacts.model_root()) == [(KIND, oldest.digest)]
    retention.prune([])
    assert [path.name for path in (artifacts.model_root() / KIND).iterdir() if path.name.startswith(".")] == []


def test_folders_without_a_row_and_leftovers_are_removed_after_a_day(model_path):
    promoted_in_turn(1)
    orphan, young = (model_path / KIND / (letter * 64) for letter in "ab")
    unfinished, writing = model_path / KIND / ".writing-old", model_path / KIND / ".writing-new"
    parts, other = model_path / "parts" / str(uuid.uuid4()), model_path / "notes"
    for path in (orphan, young, unfinished, writing, parts, other):
        path.mkdir(parents=True)
    for path in (orphan, unfinished, parts, other):
        age(path, 1.1)
    for path in (young, writing):
        age(path, 0.9)
    planned = retention.prune([], dry_run=True)
    assert all(path.exists() for path in (orphan, unfinished, parts))
    assert retention.prune([]) == planned
    assert [one.folder for one in planned] == [f"{KIND}/{'a' * 64}", f"{KIND}/.writing-old", f"parts/{parts.name}"]
    assert [path.exists() for path in (orphan, unfinished, parts)] == [False] * 3
    assert all(path.exists() for path in (young, writing, other))


def test_a_folder_that_may_belong_to_another_database_is_kept(model_path):
    orphan = model_path / KIND / ("a" * 64)
    orphan.mkdir(parents=True)
    age(orphan, 3)
    assert retention.prune([]) == [], "without a champion the database cannot verify the folder"
    (champion,) = promoted_in_turn(1)
    for path in folder(champion).iterdir():
        path.unlink()
    folder(champion).rmdir()
    with pytest.raises(retention.RetentionRefused, match="lacks the files of the champion"):
        retention.prune([])
    assert orphan.exists()


@pytest.fixture
def removed(settings):
    """A version without files, and a newer one that has them, from real artifacts."""
    settings.MODEL_RETENTION = 1
    old, new = champions.candidate(seed=1), champions.candidate(seed=2)
    retention.prune([])
    old.refresh_from_db()
    assert (old.files_kept, new.files_kept) == (False, True)
    return old


def test_a_version_without_files_is_refused_with_a_message_everywhere(removed, tmp_path):
    Market.objects.create(symbol="BTCUSDT", source="exchange")
    sentence = r"keeps only its report: its files were removed on \d{4}-\d\d-\d\d \(not among the newest 1 candidates"
    with pytest.raises(FilesRemovedError, match=sentence):
        registry.promote(removed, "ada", "try it")
    span = ["--from", "2025-01-01", "--to", "2025-01-02"]
    for words in (
        ["promote_model", removed.digest[:12], "--reason", "try it"],
        ["evaluate_models", "--versions", str(removed.pk), *span],
        ["replay_predictions", "--versions", str(removed.pk), *span, "--ranges", str(tmp_path / "ranges.parquet")],
    ):
        with pytest.raises(CommandError, match=sentence):
            call_command(*words, stdout=StringIO(), stderr=StringIO())


def test_a_version_removed_while_it_is_promoted_is_refused(settings, monkeypatch):
    settings.MODEL_RETENTION = 1
    old, _ = champions.candidate(seed=1), champions.candidate(seed=2)
    verify = artifacts.verify_in_child

    def verified_and_removed(kind, digest):
        verify(kind, digest)
        retention.prune([])

    monkeypatch.setattr(artifacts, "verify_in_child", verified_and_removed)
    with pytest.raises(FilesRemovedError):
        registry.promote(old, "ada", "try it")
    assert not PromotionEvent.objects.exists()


def test_a_rollback_to_a_version_without_files_is_refused_with_a_message(settings, removed):
    new = champions.candidate(seed=3)
    promoted(new, removed)
    with pytest.raises(FilesRemovedError, match="keeps only its report"):
        registry.rollback(KIND, "exchange", "ada", "it drifts")
    assert registry.champions("exchange")[KIND] == new


def test_the_same_training_again_restores_the_files(removed):
    again = champions.candidate(seed=1)
    assert again.pk == removed.pk
    assert again.files_kept
    assert again.files_removed_reason == ""
    registry.promote(again, "ada", "try it")


def test_the_command_lists_what_it_removes_and_a_dry_run_removes_nothing():
    versions = [version(number) for number in range(5)]
    output = StringIO()
    call_command("prune_models", dry_run=True, stdout=output)
    assert output.getvalue().splitlines() == [
        f"{KIND}/{versions[0].digest}: not among the newest 3 candidates (MODEL_RETENTION)",
        f"{KIND}/{versions[1].digest}: not among the newest 3 candidates (MODEL_RETENTION)",
        "2 folders would be removed, 0.0 MiB",
    ]
    as_json = StringIO()
    call_command("prune_models", "--dry-run", "--json", stdout=as_json)
    reason = "not among the newest 3 candidates (MODEL_RETENTION)"
    assert json.loads(as_json.getvalue()) == {
        "dry_run": True,
        "removed": [{"folder": f"{KIND}/{one.digest}", "reason": reason, "size_bytes": 1000} for one in versions[:2]],
    }
    assert len(kept()) == 5
    call_command("prune_models", stdout=output)
    assert output.getvalue().splitlines()[-1] == "2 folders removed, 0.0 MiB"
    assert kept() == [2, 3, 4]


def test_the_admin_shows_whether_files_are_kept_and_refuses_to_promote_without(removed, admin_client, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    listed = admin_client.get("/admin/modelregistry/modelversion/").content.decode()
    assert ">removed<" in "".join(listed.split())
    assert ">kept<" in "".join(listed.split())
    page = f"/admin/modelregistry/modelversion/{removed.pk}"
    assert "not among the newest 1 candidates" in admin_client.get(f"{page}/change/").content.decode()
    assert admin_client.get(f"{page}/report/", follow=True).status_code == 200
    refused = admin_client.get(f"{page}/promote/", follow=True)
    assert "keeps only its report" in refused.content.decode()
