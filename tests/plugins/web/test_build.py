"""The page is committed built: what is served is what the sources say. Needs no Node."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

CLIENT = ROOT / "plugins" / "web" / "client"
STATIC = ROOT / "plugins" / "web" / "static"
SOURCES = ["index.html", "package-lock.json", "package.json", "public", "src", "tsconfig.json", "vite.config.ts"]
"""What the build is made from, as client/stamp.mjs has it."""
AGAIN = "the built page is not what its sources say: run `make page`"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def stamp() -> dict:
    return json.loads((STATIC / "build.json").read_text())


def test_the_build_is_fresh(stamp):
    found = [name for source in SOURCES for name in names(CLIENT / source, CLIENT) or [source]]
    # As JavaScript sorts: by UTF-16 code units, which for these names are their characters.
    lines = "".join(f"{name} {digest(CLIENT / name)}\n" for name in sorted(found))
    assert hashlib.sha256(lines.encode()).hexdigest() == stamp["sources"], AGAIN


def test_nothing_was_changed_after_the_build(stamp):
    built = {name: digest(STATIC / name) for name in names(STATIC, STATIC) if name != "build.json"}
    assert built == stamp["files"], AGAIN


def test_the_page_asks_nobody_else_for_anything():
    for name in ("index.html", "index.css", "page.js", "player.worklet.js", "capture.worklet.js"):
        addresses = re.findall(r"\b(?:https?|wss?)://[\w.]+", (STATIC / name).read_text())
        assert set(addresses) <= {"http://www.w3.org"}, name


def test_the_page_keeps_to_its_content_security_policy():
    """Neither scripts nor styles in the page itself."""
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)", page)


def test_the_lock_file_names_no_registry():
    lock = (CLIENT / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') > 10
