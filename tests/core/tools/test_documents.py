"""What the documents show works."""

from __future__ import annotations

import re

import pytest
import yaml
from jsonschema import Draft202012Validator

from animacy.core import CharacterContext
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import recipe_schema
from animacy.core.tools.registry import Toolbox
from tests.conftest import ROOT
from tests.core.tools.sources import load

PAGES = [ROOT / "docs" / "tools.md"]
PAGES += [ROOT / "plugins" / name / "README.md" for name in ("client_event", "page_actions", "backend_rpc", "mcp")]
PAGES += [ROOT / "plugins" / "python_tool" / "README.md"]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_recipes_in_documents_load(page, picture, plugins, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", "x")
    monkeypatch.setenv("TOOLS_TOKEN", "x")
    found = blocks(page, "yaml")
    assert found
    for text in found:
        loaded = load(picture, plugins, text.removeprefix("tools:\n"))
        assert loaded.tools
        # Editors go by the schema: it must know the short forms too.
        Draft202012Validator(recipe_schema(plugins)).validate(yaml.safe_load(loaded.path.read_text()))


async def test_the_source_in_the_document_is_a_plugin():
    [code] = [text for text in blocks(PAGES[0], "python") if "hookimpl" in text]
    module: dict[str, object] = {}
    exec(code, module)
    plugins = Plugins()
    plugins.register(type("Plugin", (), {"tool_providers": staticmethod(module["tool_providers"])}), "dice")
    provider = plugins.get("tool", "dice")
    toolbox = Toolbox([("dice", provider.create(provider.settings(), CharacterContext("A")))])
    await toolbox.load()
    result = await toolbox.call("roll_dice", {"sides": 2})
    assert result.value["rolled"] in (1, 2)
    await toolbox.close()
