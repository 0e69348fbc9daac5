"""Plugins: built-in ones are ordinary, those of others install, and a broken one breaks nothing."""

from __future__ import annotations

import json

import pytest

from animacy.core import Provider, Settings, hookimpl
from animacy.core.errors import PluginError
from animacy.core.plugins import BUILT_IN, LOAD_VARIABLE, ROLES, Plugins
from tests.conftest import animacy


def test_the_built_in_ones_load(plugins):
    assert not [plugin for plugin in plugins.loaded if plugin.origin == "built in" and plugin.error]
    assert {plugin.name for plugin in plugins.loaded} >= set(BUILT_IN)
    assert all(plugins.names(role) for role in ROLES)


def test_a_plugin_is_a_class_with_a_hook():
    class Extra:
        @hookimpl
        def tts_providers(self):
            return [Provider("hum", Settings, lambda settings, context: object())]

    plugins = Plugins()
    plugins.register(Extra(), "extra")
    assert plugins.names("tts") == ["hum"]
    with pytest.raises(PluginError, match="Did you mean"):
        plugins.get("tts", "hun")


def test_two_plugins_cannot_share_a_name():
    class One:
        @hookimpl
        def stt_providers(self):
            return Provider("same", Settings, lambda settings, context: object())

    plugins = Plugins()
    plugins.register(One(), "one")
    plugins.register(One(), "two")
    assert [plugin.error is None for plugin in plugins.loaded] == [True, False]
    assert "already provides" in (plugins.loaded[1].error or "")


def test_a_hook_that_raises_is_reported():
    class Bad:
        @hookimpl
        def llm_providers(self):
            raise RuntimeError("no luck")

    plugins = Plugins()
    plugins.register(Bad(), "bad")
    assert "no luck" in (plugins.loaded[0].error or "")
    assert plugins.names("llm") == []


def test_others_install_and_a_broken_one_breaks_nothing(third_party):
    result = animacy("plugins", "--json", python=third_party)
    assert result.returncode == 0, result.stderr
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["touch_tones"]["version"] == "0.1.0"
    assert rows["touch_tones"]["origin"] == "animacy-touch-tones"
    assert rows["touch_tones"]["provides"][0] == {
        "role": "stt",
        "name": "touch_tones",
        "summary": "The keypad of a telephone",
        "usable": True,
        "needs": [],
    }
    assert "a_package_nobody_has" in rows["broken"]["error"]
    assert all(rows[name]["error"] is None for name in BUILT_IN)
    table = animacy("plugins", python=third_party)
    assert "broken (animacy-broken) failed to load" in table.stdout
    assert "a_package_nobody_has" in table.stdout


def test_what_loads_can_be_limited(third_party):
    result = animacy("plugins", "--json", python=third_party, **{LOAD_VARIABLE: "animacy-robot"})
    names = {row["name"] for row in json.loads(result.stdout)}
    assert "robot" in names
    assert "broken" not in names


def test_naming_a_broken_plugin_says_why_it_is_broken(third_party, picture):
    recipe = picture.parent / "recipe.yaml"
    recipe.write_text("character: {name: A, image: picture.png, persona: p}\nstt: broken\n")
    result = animacy("check", recipe, "--no-face", python=third_party)
    assert result.returncode == 2
    assert "failed to load" in result.stderr
    assert "a_package_nobody_has" in result.stderr
