"""What every test may use."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
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


def environment(folder: Path, packages: Sequence[Path]) -> str:
    """Make a fresh environment on top of this one and really install packages into it; returns its Python."""
    venv.create(folder)
    python = str(folder / "bin" / "python")
    here, there = (sysconfig.get_path("purelib", vars={"base": str(base)}) for base in (sys.prefix, folder))
    Path(there, "base.pth").write_text(f"import site; site.addsitedir({here!r})\n")  # editable installs have a .pth too
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "-q"]
    with tempfile.TemporaryDirectory() as copied:  # setuptools leaves files beside what it builds
        copies = [shutil.copytree(package, Path(copied) / package.name) for package in packages]
        subprocess.run([*command, "--no-deps", "--no-index", "--no-build-isolation", *copies], check=True)
    return python


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
def third_party(tmp_path_factory: pytest.TempPathFactory, tutorial: Path) -> str:
    """The Python of an environment with the packages of the tutorial and one that is broken."""
    packages = [*(path.parent for path in tutorial.glob("*/pyproject.toml")), PACKAGES / "broken"]
    return environment(tmp_path_factory.mktemp("third-party"), packages)


def animacy(
    *arguments: object, cwd: Path | None = None, timeout: float = 120, python: str = sys.executable, **environment: str
):
    """Run the real command line."""
    return subprocess.run(
        [python, "-c", "from animacy.core.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, **environment},
        check=False,
    )
