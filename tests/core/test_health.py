"""What `animacy plugins` says of whether a provider can be used here."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata

from animacy.core import Provider, Settings
from animacy.core.errors import ModelError
from animacy.core.health import needs
from animacy.core.models import packaged, packaged_names
from tests.conftest import ROOT, animacy


def offer(**more) -> Provider:
    return Provider("sample", Settings, lambda settings, context: object(), **more)


def test_what_is_installed_needs_nothing(monkeypatch):
    monkeypatch.setenv("SAMPLE_KEY", "x")
    assert needs(offer(extra="knowledge", keys=("SAMPLE_KEY",)), "animacy") == []


def test_an_extra_that_is_not_installed_is_named_with_its_install_line(monkeypatch):
    version = metadata.version

    def none_of_chroma(name: str) -> str:
        if name == "chromadb":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", none_of_chroma)
    (need,) = needs(offer(extra="knowledge"), "animacy")
    assert need.kind == "package"
    assert need.name.startswith("chromadb")
    assert need.remedy == "pip install 'animacy[knowledge]'"
    monkeypatch.setattr(metadata, "version", lambda name: "0.1")
    assert [need.kind for need in needs(offer(extra="knowledge"), "animacy")] == ["package"]


def test_the_built_in_ones_name_extras_that_exist(plugins):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {provider.extra for plugin in plugins.loaded for _, provider in plugin.providers if provider.extra}
    assert "deepgram" in named
    assert named <= set(extras)


def test_an_extra_that_the_installed_package_does_not_know_is_missing():
    (need,) = needs(offer(extra="no-such-extra"), "animacy")
    assert (need.kind, need.name) == ("package", "animacy[no-such-extra]")


def test_missing_models_and_confused_plugins_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("ANIMACY_CACHE", str(tmp_path))
    model = packaged(packaged_names()[0])
    (missing,) = needs(offer(models=lambda settings: [model]), None)
    assert (missing.kind, missing.name) == ("model", model.name)

    def confused(settings):
        raise ModelError("no such model", "choose another")

    (need,) = needs(offer(models=confused), None)
    assert "choose another" in need.remedy


def test_the_list_says_what_is_missing(tmp_path):
    environment = {"ANIMACY_CACHE": str(tmp_path), "DEEPGRAM_API_KEY": "", "CARTESIA_API_KEY": "x"}
    table = animacy("plugins", cwd=tmp_path, **environment).stdout
    assert re.search(r"^stt +whisper +needs model +built in", table, re.MULTILINE)
    assert re.search(r"^tool +client_event +ok +built in", table, re.MULTILINE)
    assert "deepgram needs DEEPGRAM_API_KEY: " in table
    assert "CARTESIA_API_KEY" not in table
    listed = json.loads(animacy("plugins", "--json", cwd=tmp_path, **environment).stdout)
    rows = {row["name"]: row["provides"][0] for row in listed}
    assert "DEEPGRAM_API_KEY" in [need["name"] for need in rows["deepgram"]["needs"]]
    assert not rows["deepgram"]["usable"]
    assert rows["client_event"]["usable"]
