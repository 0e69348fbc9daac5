"""What every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animacy.core.models import packaged, packaged_names
from animacy.core.plugins import Plugins

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "tests" / "packages"
RECIPES = ROOT / "recipes"
QUESTIONS = ROOT / "tests" / "data" / "questions"


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return Plugins().load()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small picture without a face."""
    path = tmp_path / "picture.png"
    pixels = np.linspace(0, 255, 320 * 240 * 3, dtype=np.uint8).reshape(240, 320, 3)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own: the models of the real one, and nothing that was computed with them."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for model in map(packaged, packaged_names()):
        if model.folder.exists():
            (folder / model.folder.name).symlink_to(model.folder)
    monkeypatch.setenv("ANIMACY_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def third_party(tmp_path_factory):
    """Both packages of tests/packages, really installed into a folder."""
    target = tmp_path_factory.mktemp("site")
    build = tmp_path_factory.mktemp("build")
    for name in ("stopwatch_stt", "broken"):
        copy = build / name
        subprocess.run(["cp", "-r", str(PACKAGES / name), str(copy)], check=True)
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
        subprocess.run([*command, "--disable-pip-version-check", "--target", str(target), str(copy)], check=True)
    return target


def animacy(*arguments: object, cwd: Path | None = None, timeout: float = 120, **environment: str):
    """Run the real command line."""
    return subprocess.run(
        [sys.executable, "-c", "from animacy.core.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, **environment},
        check=False,
    )
