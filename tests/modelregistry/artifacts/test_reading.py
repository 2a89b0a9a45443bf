"""Artifacts: same inputs give the same bytes, and invalid ones are rejected."""

import json
import os
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelregistry import artifacts
from modelregistry.artifacts import reading, verification, writing
from modelregistry.artifacts.manifest import canonical_json, sha256
from modelregistry.errors import ArtifactWriteError, ModelLoadError
from tests.modelregistry import champions

KIND = "range_predictor"


def folder_of(root, digest, kind=KIND):
    return root / kind / digest


def verdict(root, digest, kind=KIND):
    return verification.verify_in_child(root, [(kind, digest)])[kind, digest]


def forged(root, files, fields=None, golden=None, kind=KIND):
    """An artifact with consistent hashes, written without the checks of the writer."""
    entries = {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in files.items()}
    page = canonical_json({**(fields or {}), "format": 1, "kind": kind, "files": entries, "golden_rows": golden or {}})
    folder = folder_of(root, sha256(page), kind)
    folder.mkdir(parents=True)
    for name, content in {**files, "manifest.json": page}.items():
        (folder / name).write_bytes(content)
    return sha256(page)


def test_same_inputs_give_the_same_bytes_and_no_time(model_folder):
    first = champions.write(KIND)
    kept = {path.name: path.read_bytes() for path in folder_of(model_folder, first).iterdir()}
    again = writing.write_artifact(
        model_folder.parent / "elsewhere",
        KIND,
        champions.estimator(KIND).to_files(),
        champions.fields(),
        champions.golden(champions.estimator(KIND)),
    )
    assert again == first == sha256(kept["manifest.json"])
    assert champions.write(KIND) == first
    copied = {path.name: path.read_bytes() for path in folder_of(model_folder.parent / "elsewhere", first).iterdir()}
    assert copied == kept
    assert [entry.name for entry in (model_folder / KIND).iterdir()] == [first]


@pytest.mark.parametrize("kind", champions.KINDS)
def test_a_written_artifact_passes_its_child_and_loads(kind):
    digest = champions.write(kind)
    artifacts.verify_in_child(kind, digest)
    found = artifacts.read_artifact(kind, digest)
    assert found.manifest["seed"] == 0
    assert found.files == champions.estimator(kind).to_files()


def test_one_child_verifies_all_kinds_and_caches_unchanged_files(model_folder, monkeypatch):
    runs = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: runs.append(1) or run(*a, **k))
    wanted = [(kind, champions.write(kind)) for kind in champions.KINDS]
    assert set(verification.verify_in_child(model_folder, wanted).values()) == {""}
    assert set(verification.verify_in_child(model_folder, wanted).values()) == {""}
    assert len(runs) == 1
    os.utime(folder_of(model_folder, wanted[0][1]) / "parameters.json", (1, 1))
    verification.verify_in_child(model_folder, wanted)
    assert len(runs) == 2


@pytest.mark.parametrize("name", ["parameters.json", "scale_6.ubj", "manifest.json"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(model_folder, name, share):
    path = folder_of(model_folder, champions.write(KIND), KIND) / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ModelLoadError):
        artifacts.read_artifact(KIND, path.parent.name)


def test_every_flipped_bit_is_refused(model_folder):
    digest = champions.write(KIND)
    rng = np.random.default_rng(3)
    for path in folder_of(model_folder, digest).iterdir():
        whole = path.read_bytes()
        for _ in range(200):
            torn = bytearray(whole)
            torn[rng.integers(len(torn))] ^= 1 << int(rng.integers(8))
            path.write_bytes(torn)
            with pytest.raises(ModelLoadError):
                artifacts.read_artifact(KIND, digest)
        path.write_bytes(whole)
    artifacts.read_artifact(KIND, digest)


def test_swapped_missing_and_added_files_are_refused(model_folder):
    digest = champions.write(KIND)
    folder = folder_of(model_folder, digest)
    one, other = folder / "scale_6.ubj", folder_of(model_folder, champions.write(KIND, seed=1)) / "scale_6.ubj"
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(ModelLoadError, match="was changed"):
        artifacts.read_artifact(KIND, digest)
    one.unlink()
    with pytest.raises(ModelLoadError, match=r"scale_6\.ubj"):
        artifacts.read_artifact(KIND, digest)
    one.symlink_to(other)
    with pytest.raises(ModelLoadError, match="cannot be opened"):
        artifacts.read_artifact(KIND, digest)
    one.unlink()
    one.write_bytes(kept)
    (folder / "extra.json").write_bytes(b"{}")
    with pytest.raises(ModelLoadError, match=r"extra\.json"):
        artifacts.read_artifact(KIND, digest)


def test_an_edited_manifest_is_refused_even_if_it_agrees_with_its_files(model_folder):
    digest = champions.write(KIND)
    path = folder_of(model_folder, digest) / "manifest.json"
    path.write_bytes(canonical_json({**json.loads(path.read_bytes()), "seed": 8}))
    with pytest.raises(ModelLoadError, match=r"manifest .* was changed"):
        artifacts.read_artifact(KIND, digest)


def test_another_kinds_artifact_under_this_kinds_name_is_refused(model_folder):
    digest = champions.write("tpsl_classifier")
    (model_folder / KIND).mkdir()
    folder_of(model_folder, digest, "tpsl_classifier").rename(folder_of(model_folder, digest))
    with pytest.raises(ModelLoadError, match="something else"):
        artifacts.read_artifact(KIND, digest)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_by_content_whatever_its_name(model_folder, protocol):
    content = pickle.dumps({"learner": print}, protocol)
    for name in ("model.ubj", "model.json"):
        with pytest.raises(ModelLoadError, match="pickle"):
            reading.read_artifact(model_folder, KIND, forged(model_folder, {name: content}))
        with pytest.raises(ArtifactWriteError, match="pickle"):
            artifacts.write_artifact(KIND, {name: content}, {}, {})


@pytest.mark.parametrize("content", [b"PK\x03\x04rest", zlib.compress(b"x"), b"", b"not a model", b"\x00"])
def test_archives_and_random_bytes_are_refused(model_folder, content):
    with pytest.raises(ModelLoadError):
        artifacts.read_artifact(KIND, forged(model_folder, {"model.ubj": content}))


@pytest.mark.parametrize("digest", ["../" * 20 + "etc", "A" * 64, "", "0" * 63, "0" * 64])
def test_an_invalid_digest_gives_no_path(digest):
    with pytest.raises(ModelLoadError):
        artifacts.read_artifact(KIND, digest)


def test_golden_rows_that_are_not_reproduced_are_refused(model_folder):
    fitted = champions.estimator(KIND)
    golden = champions.golden(fitted)
    golden["answers"]["high"][0][0][3] *= 1.001
    digest = artifacts.write_artifact(KIND, fitted.to_files(), champions.fields(), golden)
    assert "golden rows" in verdict(model_folder, digest)
    with pytest.raises(ModelLoadError, match="golden rows"):
        artifacts.verify_in_child(KIND, digest)


def test_a_model_of_other_features_is_refused(model_folder):
    fitted = champions.estimator(KIND)
    fields = {**champions.fields(), "feature_hash": "0" * 64}
    digest = artifacts.write_artifact(KIND, fitted.to_files(), fields, champions.golden(fitted))
    assert "other features" in verdict(model_folder, digest)


def test_a_crash_of_the_child_rejects_only_its_artifact(model_folder, monkeypatch):
    good, bad = champions.write(KIND), champions.write(KIND, seed=1)
    run = subprocess.run

    def crash_on_bad(command, *, input, **options):  # noqa: A002
        script = (
            "import os, json, signal, modelregistry.artifacts.child as child\n"
            "verify = child.verify\n"
            f"child.verify = lambda r, k, d: os.kill(os.getpid(), signal.SIGSEGV) if d == {bad!r} else verify(r, k, d)\n"
            "child.main()"
        )
        return run([sys.executable, "-c", script], input=input, **options)

    monkeypatch.setattr(subprocess, "run", crash_on_bad)
    found = verification.verify_in_child(model_folder, [(KIND, bad), (KIND, good)])
    assert found[KIND, good] == ""
    assert "SIGSEGV" in found[KIND, bad]


def test_a_child_timeout_is_not_cached_for_the_artifact(model_folder, monkeypatch):
    digest = champions.write(KIND)
    monkeypatch.setattr(verification, "TIMEOUT_SECONDS", 0.05)
    assert "longer than" in verdict(model_folder, digest)
    monkeypatch.undo()
    assert verdict(model_folder, digest) == ""


def test_the_child_environment_has_no_secrets(model_folder, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "canary")
    seen = {}
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: seen.update(k) or run(*a, **k))
    verdict(model_folder, champions.write(KIND))
    assert "canary" not in str(seen)
    assert "DATABASE_URL" not in seen["env"]


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.integers()))
def test_canonical_json_reads_back_and_is_the_same_for_any_order(fields):
    written = canonical_json(fields)
    assert json.loads(written) == fields
    assert canonical_json(dict(reversed(fields.items()))) == written
