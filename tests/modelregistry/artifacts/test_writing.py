"""Writing of artifacts is atomic, whatever the disk does."""

import os
import resource
import subprocess

import pytest

from modelregistry import artifacts
from modelregistry.artifacts import writing
from modelregistry.errors import ArtifactWriteError
from tests.modelregistry import champions

KIND = "range_predictor"


def folder_of(root, digest, kind=KIND):
    return root / kind / digest


def disk_of(megabytes, path):
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    return path


def test_full_disk_leaves_no_files(tmp_path, settings):
    settings.MODEL_PATH = disk_of(1, tmp_path / "disk")
    try:
        (settings.MODEL_PATH / "filler").write_bytes(b"x" * 1_000_000)
        with pytest.raises(ArtifactWriteError, match="No space left"):
            champions.write(KIND)
        assert not [path for path in settings.MODEL_PATH.rglob("*") if path.name.startswith(".writing")]
        (settings.MODEL_PATH / "filler").unlink()
        digest = champions.write(KIND)
        artifacts.read_artifact(KIND, digest)
    finally:
        subprocess.run(["umount", str(settings.MODEL_PATH)], check=True)


def test_a_file_size_limit_leaves_nothing(model_folder):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(ArtifactWriteError, match="File too large"):
            champions.write(KIND)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((model_folder / KIND).iterdir()) == []


@pytest.mark.parametrize("step", ["mkdtemp", "_write_through", "fsync_folder", "_put_in_place", "fsync"])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_failure_at_any_step_leaves_no_half_artifact(model_folder, monkeypatch, step, error):
    def fail(*_, **__):
        raise error

    owner = {"mkdtemp": writing.tempfile, "fsync": os}.get(step, writing)
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, fail)
        with pytest.raises((ArtifactWriteError, KeyboardInterrupt)):
            champions.write(KIND)
    assert list((model_folder / KIND).iterdir()) == []
    artifacts.read_artifact(KIND, champions.write(KIND))


def test_leftovers_of_killed_writers_are_removed_after_a_day(model_folder):
    for name, age in (("old", 90_000), ("busy", 60)):
        left = model_folder / KIND / f".writing-{name}"
        left.mkdir(parents=True)
        then = left.stat().st_mtime - age
        os.utime(left, (then, then))
    champions.write(KIND)
    names = {path.name for path in (model_folder / KIND).iterdir()}
    assert ".writing-busy" in names
    assert ".writing-old" not in names


def test_writing_again_replaces_a_damaged_artifact(model_folder):
    digest = champions.write(KIND)
    (folder_of(model_folder, digest) / "scale_6.ubj").write_bytes(b"{}")
    assert champions.write(KIND) == digest
    artifacts.read_artifact(KIND, digest)
    assert [entry.name for entry in (model_folder / KIND).iterdir()] == [digest]


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ({}, {}),
        ({"manifest.json": b"{}"}, {}),
        ({"../up.json": b"{}"}, {}),
        ({"model.pkl": b"{}"}, {}),
        ({"a.json": b"{}"}, {"files": 1}),
        ({"a.json": b"{}"}, {"loss": float("nan")}),
        ({"a.json": b"{}"}, {"when": object()}),
    ],
)
def test_invalid_files_and_fields_are_not_written(model_folder, files, fields):
    with pytest.raises(ArtifactWriteError):
        artifacts.write_artifact(KIND, files, fields, {})
    assert not model_folder.exists() or not list(model_folder.rglob("*.json"))
