"""Actions in the page."""

from __future__ import annotations

import pytest

from animacy.core.errors import AnimacyError
from tests.core.tools.sources import load, opened


async def test_only_what_the_recipe_lists_is_acted_on(picture, plugins):
    tools = """
    - plugin: page_actions
      targets: {pricing: the table of prices, "order-now": ""}
    """
    async with opened(picture, plugins, tools) as toolbox:
        assert [tool.name for tool in toolbox.tools] == ["click", "scroll_to", "highlight"]
        assert toolbox.tools[0].parameters["properties"]["target"]["description"] == (
            "pricing: the table of prices; order-now"
        )
        assert (await toolbox.call("scroll_to", {"target": "pricing"}, id="c1")).ok
        refused = await toolbox.call("click", {"target": "delete-account"})
        assert refused.error == "the argument 'target' must be one of pricing, order-now"
        assert toolbox.told == [
            ("page-action", {"name": "scroll_to", "arguments": {"target": "pricing"}, "call": "c1"})
        ]


async def test_a_click_may_need_a_yes_while_the_rest_does_not(picture, plugins):
    tools = "- {plugin: page_actions, targets: [order], actions: [click, highlight], consequential: true, silent: true}"
    async with opened(picture, plugins, tools) as toolbox:
        assert [tool.silent for tool in toolbox.tools] == [True, True]
        assert (await toolbox.call("highlight", {"target": "order"})).ok
        assert (await toolbox.call("click", {"target": "order"})).status == "asks"
        toolbox.user_said("Yes.")
        assert (await toolbox.call("click", {"target": "order"})).ok


async def test_two_sections_are_a_problem_that_is_reported(picture, plugins):
    section = "- {plugin: page_actions, targets: [a], actions: [click]}\n"
    async with opened(picture, plugins, section + section) as toolbox:
        assert [tool.name for tool in toolbox.tools] == ["click"]
        assert "tools.1 (page_actions): another tool is called 'click' already" in str(toolbox.problems[0])


@pytest.mark.parametrize("targets", ["{}", '["a b"]', '["<script>"]', "5"])
def test_a_target_is_a_name(picture, plugins, targets):
    with pytest.raises(AnimacyError, match="targets"):
        load(picture, plugins, f"- {{plugin: page_actions, targets: {targets}}}")
