"""What every test may use."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animacy.core.models import packaged, packaged_names
from animacy.core.plugins import Plugins

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "tests" / "packages"
RECIPES = ROOT / "recipes"
SHOWN = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
"""A file in a document: its name and its text."""
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


def install(packages: Sequence[Path], target: Path) -> None:
    """Really install packages into a folder, which then serves as PYTHONPATH."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    with tempfile.TemporaryDirectory() as folder:  # setuptools leaves files beside what it builds
        copies = [shutil.copytree(package, Path(folder) / package.name) for package in packages]
        subprocess.run([*command, "--disable-pip-version-check", "--target", target, *copies], check=True)


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that docs/plugin-tutorial.md shows."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name, text in SHOWN.findall((ROOT / "docs" / "plugin-tutorial.md").read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory, tutorial: Path) -> Path:
    """The packages of the tutorial and one that is broken, installed into a folder."""
    target = tmp_path_factory.mktemp("site")
    install([*(path.parent for path in tutorial.glob("*/pyproject.toml")), PACKAGES / "broken"], target)
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
