"""Every built-in provider through the kit; those of this machine here, with their models."""

from __future__ import annotations

import sys

import pytest

from animacy.testing import Material, check
from tests.conftest import ROOT
from tests.testing.remote import DEAL, REMOTE

LOCAL = {
    ("stt", "whisper"): {},
    ("llm", "llama"): {"model": "smollm2-135m", "context_tokens": 512},
    ("tts", "kokoro"): {},
    ("tts", "piper"): {},
    ("video", "portrait"): {},
    ("transport", "file"): {"input": "speech.flac", "output": "film.mp4"},
    ("transport", "web"): {"port": 0},
    ("tool", "client_event"): DEAL,
    ("tool", "page_actions"): {"targets": {"menu": "the menu"}},
    ("tool", "python"): {"function": "conform_sums:add"},
    ("tool", "mcp"): {"command": sys.executable, "args": ["{folder}/sums.py"]},
    ("vision", "perception"): {"text": False},
    ("embedding", "minilm"): {},
    ("embedding", "langchain"): {
        "model": "langchain_core.embeddings:DeterministicFakeEmbedding",
        "options": {"size": 8},
    },
    ("knowledge", "chroma"): {"token": "chroma-secret"},
}
CALLS = {"click": {"target": "menu"}, "add": {"first": 1, "second": 2}}


ELSEWHERE = {
    ("video", "video_engine"): ROOT / "tests" / "plugins" / "video_engine" / "test_conformance.py",
    ("embedding", "sentence_transformers"): ROOT / "tests" / "plugins" / "test_sentence_transformers.py",
}


@pytest.mark.parametrize(("role", "name"), LOCAL, ids=lambda value: value)
def test_one_on_this_machine(role, name, plugins, character):
    report = check(role, name, LOCAL[role, name], plugins, character=character, material=Material(calls=CALLS))
    report.raise_if_failed()


def test_every_built_in_is_tried(plugins):
    offered = {
        (role, p.name) for plugin in plugins.loaded if plugin.origin == "built in" for role, p in plugin.providers
    }
    assert {*LOCAL, *REMOTE, *ELSEWHERE} == offered
    assert all(path.exists() for path in ELSEWHERE.values())
