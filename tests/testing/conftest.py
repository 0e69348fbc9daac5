"""A character for plugins that read files, import modules or start commands."""

from __future__ import annotations

import sys

import pytest

from animacy.core.provider import CharacterContext
from animacy.testing import Material

MODULE = '''
def add(first: int, second: int = 2) -> int:
    """Add two numbers.

    Args:
        first: The one.
        second: The other.
    """
    return first + second
'''
SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("sums")

@server.tool()
def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second

server.run()
'''


@pytest.fixture
def character(tmp_path, monkeypatch):
    """One in a folder of its own, with what its plugins are asked to use, and leave to do so."""
    (tmp_path / "conform_sums.py").write_text(MODULE)
    (tmp_path / "sums.py").write_text(SERVER)
    (tmp_path / "speech.flac").symlink_to(Material().speech)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANIMACY_ALLOW_MODULES", "conform_sums,langchain_core,langchain_openai")
    monkeypatch.setenv("ANIMACY_ALLOW_COMMANDS", sys.executable)
    yield CharacterContext("Iris", persona="You are Iris.", max_answer_tokens=48, folder=tmp_path)
    sys.modules.pop("conform_sums", None)
