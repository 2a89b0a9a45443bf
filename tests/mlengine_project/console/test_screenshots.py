"""The pictures of the README: their size, and that the command still makes them."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.mlengine_project.console import chromium, screenshots

ROOT = Path(__file__).resolve().parents[3]
LARGEST_BYTES = 150_000


def test_the_pictures_of_the_readme_are_there_and_small():
    for name, height in screenshots.PICTURES.items():
        picture = (ROOT / "docs" / "images" / name).read_bytes()
        assert Image.open(io.BytesIO(picture)).size == (screenshots.WIDTH, height)
        assert len(picture) < LARGEST_BYTES
        assert f"docs/images/{name}" in (ROOT / "README.md").read_text()


@pytest.mark.browser
@pytest.mark.long
@pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not installed")
def test_the_command_makes_both_pictures(tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", screenshots.__name__, "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    for name, height in screenshots.PICTURES.items():
        picture = (tmp_path / name).read_bytes()
        assert Image.open(io.BytesIO(picture)).size == (screenshots.WIDTH, height)
        assert len(picture) < LARGEST_BYTES
