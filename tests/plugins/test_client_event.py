"""Events to the page."""

from __future__ import annotations

import pytest

from animacy.core.errors import AnimacyError
from animacy.core.tools.registry import Toolbox
from tests.core.tools.sources import load, opened

CARD = """
- plugin: client_event
  name: show_card
  description: Show a card.
  parameters:
    topic: {type: string, enum: [sea, stars]}
    level: {type: integer, default: 1}
  examples: [{user: A card about stars!, arguments: {topic: stars}}]
"""


async def test_the_page_is_told(picture, plugins):
    async with opened(picture, plugins, CARD) as toolbox:
        [tool] = toolbox.tools
        assert tool.examples == [("A card about stars!", {"topic": "stars"})]
        result = await toolbox.call("show_card", {"topic": "Stars"}, id="c1")
        assert result.for_model() == {"result": "done"}
        assert toolbox.told == [
            ("client-event", {"name": "show_card", "arguments": {"topic": "stars", "level": 1}, "call": "c1"})
        ]
        assert not (await toolbox.call("show_card", {"topic": "cars"})).ok
        assert len(toolbox.told) == 1


async def test_without_a_page_the_model_is_told(picture, plugins):
    toolbox = Toolbox.of(load(picture, plugins, CARD))
    await toolbox.load()
    assert (await toolbox.call("show_card", {"topic": "sea"})).error == "there is no page that could show it"
    await toolbox.close()


def test_mistakes_in_a_recipe_are_told_with_their_place(picture, plugins):
    tools = """
    - {plugin: client_event, name: Show Card, description: d}
    - plugin: client_event
      name: show
      description: d
      parameters: {on: {type: string, enum: [yes, no]}}
    - plugin: client_event
      name: deal
      description: d
      parameters: {topic: string}
      examples: [{user: Deal!, arguments: {}}]
    - {plugin: client_event, name: go, description: d, url: x}
    """
    with pytest.raises(AnimacyError) as caught:
        load(picture, plugins, tools)
    lines = [line.split("recipe.yaml:")[1] for line in str(caught.value).splitlines() if "recipe.yaml:" in line]
    assert [line.split(":")[0] for line in lines] == ["4", "8", "9", "14"]
    assert "tools.0.name: string should match pattern" in lines[0]
    assert "put words such as yes, no and on in quotes" in lines[1]
    assert "the example 'Deal!' does not fit: the argument 'topic' is missing" in lines[2]
    assert "tools.3.url: unknown key" in lines[3]
