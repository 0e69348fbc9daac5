"""Recipes: what is right loads, and everything that is wrong is said at once, with its place and a remedy."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from animacy.core import Provider, Settings, hookimpl
from animacy.core.errors import RecipeError
from animacy.core.plugins import Plugins
from animacy.core.recipe_loader import load_recipe, recipe_schema
from animacy.core.yaml_source import InvalidRecipeError
from tests.conftest import RECIPES, ROOT

GOOD = """\
character:
  name: Test
  image: picture.png
  persona: You are a test.
"""


def write(picture, text):
    path = picture.parent / "recipe.yaml"
    path.write_text(text)
    return path


def problems(picture, text, plugins):
    with pytest.raises(InvalidRecipeError) as caught:
        load_recipe(write(picture, text), plugins)
    return {(problem.field, problem.line, problem.column): problem for problem in caught.value.problems}


def test_defaults_are_the_offline_character(picture, plugins):
    loaded = load_recipe(write(picture, GOOD), plugins)
    chosen = {role: choice.provider.name for role, choice in loaded.chosen.items()}
    assert chosen == {"stt": "whisper", "llm": "llama", "tts": "kokoro", "video": "portrait", "transport": "web"}
    assert loaded.portrait.image == picture.resolve()
    video = loaded.recipe.video.video_format()
    assert (video.width, video.height, video.fps) == (1280, 720, 24)


def test_a_role_may_name_several(picture, plugins):
    path = write(picture, GOOD + "stt: [{plugin: whisper, model: whisper-tiny.en}, whisper]\nllm: [llama]\n")
    loaded = load_recipe(path, plugins)
    assert [choice.provider.name for choice in loaded.chain("stt")] == ["whisper", "whisper"]
    assert [choice.settings.model for choice in loaded.chain("stt")] == ["whisper-tiny.en", "whisper-base"]
    assert len(loaded.chain("llm")) == len(loaded.chain("tts")) == 1
    assert len(loaded.choices) == 6


def test_the_voice_of_the_character_is_the_first_ones(picture):
    """The others would not know it."""

    class Hum:
        @hookimpl
        def tts_providers(self):
            return Provider("hum", Settings, lambda settings, context: context.voice)

    plugins = Plugins().load()
    plugins.register(Hum(), "hum")
    loaded = load_recipe(write(picture, GOOD + "  voice: Ada\ntts: [hum, hum]\n"), plugins)
    assert [loaded.create(choice) for choice in loaded.chain("tts")] == ["Ada", None]


def test_a_list_fits_the_schema(picture, plugins):
    path = write(picture, GOOD + "stt: [{plugin: whisper, model: whisper-tiny.en}, whisper]\n")
    jsonschema.validate(yaml.safe_load(path.read_text()), recipe_schema(plugins))


def test_each_of_several_is_checked(picture, plugins):
    found = problems(picture, GOOD + "stt: [whisper, {plugin: wisper}]\ntts: []\nvideo: [portrait]\n", plugins)
    assert 'Did you mean "whisper"' in found["stt.1.plugin", 5, 17].remedy
    assert {"tts", "video"} <= {field for field, _, _ in found}


def test_everything_wrong_is_said_at_once(picture, plugins):
    found = problems(
        picture,
        """\
charcter: {}
character:
  name: X
  imagge: a.png
  persona: hello
  language: English
stt: {plugin: wisper}
tts: {plugin: kokoro, spede: 3}
video: {fps: 23}
""",
        plugins,
    )
    assert 'Did you mean "character"' in found["charcter", 1, 1].remedy
    assert 'Did you mean "image"' in found["character.imagge", 4, 3].remedy
    assert ("character.image", 2, 1) in found
    assert "BCP 47" in found["character.language", 6, 3].message
    assert 'Did you mean "whisper"' in found["stt.plugin", 7, 7].remedy
    assert 'Did you mean "speed"' in found["tts.spede", 8, 23].remedy
    assert "24, 25 or 30" in found["video", 9, 1].message


def test_the_message_can_be_clicked(picture, plugins):
    with pytest.raises(InvalidRecipeError) as caught:
        load_recipe(write(picture, GOOD + "stt: nothing\n"), plugins)
    assert f"{picture.parent / 'recipe.yaml'}:5:1: stt" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "mapping of sections"),
        ("character: [1, 2\n", "not valid YAML"),
        ("a: &a [*a]\n", "refers to itself"),
        ("character: !!python/object/apply:os.system ['true']\n", "not allowed"),
        ("name: x\nname: y\n", "is given twice"),
        ("x: " + "[" * 60 + "]" * 60 + "\n", "nested too deeply"),
    ],
)
def test_broken_yaml(picture, plugins, text, says):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(picture, text), plugins)
    assert says in str(caught.value)


def test_a_small_file_that_unfolds_into_a_huge_one(picture, plugins):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(RecipeError, match="unfolds to over"):
        load_recipe(write(picture, "\n".join(lines)), plugins)


def test_a_huge_file(picture, plugins):
    with pytest.raises(RecipeError, match="KiB"):
        load_recipe(write(picture, "# " + "x" * 300_000), plugins)


def test_environment(picture, plugins, monkeypatch):
    text = GOOD.replace("You are a test.", "'${env:ANIMACY_TEST_PERSONA}'")
    monkeypatch.delenv("ANIMACY_TEST_PERSONA", raising=False)
    found = problems(picture, text, plugins)
    assert any("ANIMACY_TEST_PERSONA is not set" in problem.message for problem in found.values())
    monkeypatch.setenv("ANIMACY_TEST_PERSONA", "You are secret.")
    assert load_recipe(write(picture, text), plugins).recipe.character.persona == "You are secret."
    default = text.replace("PERSONA}", "MISSING|You are a default.}")
    assert load_recipe(write(picture, default), plugins).recipe.character.persona == "You are a default."


def test_a_secret_never_reaches_an_error(picture, plugins, monkeypatch):
    monkeypatch.setenv("ANIMACY_TEST_SECRET", "sk-very-secret")
    text = (
        GOOD
        + "video: {width: '${env:ANIMACY_TEST_SECRET}'}\nstt: {plugin: whisper, key: '${env:ANIMACY_TEST_SECRET}'}\n"
    )
    with pytest.raises(InvalidRecipeError) as caught:
        load_recipe(write(picture, text), plugins)
    assert "sk-very-secret" not in str(caught.value)
    with pytest.raises(InvalidRecipeError) as caught:
        load_recipe(write(picture, GOOD + "stt: '${env:ANIMACY_TEST_SECRET}'\n"), plugins)
    assert "sk-very-secret" not in str(caught.value)
    with pytest.raises(InvalidRecipeError) as caught:
        load_recipe(write(picture, GOOD.replace("picture.png", "'${env:ANIMACY_TEST_SECRET}.png'")), plugins)
    assert "sk-very-secret" not in str(caught.value)


def test_anchors_are_checked_against_the_picture(picture, plugins):
    anchors = "  anchors: {left_eye: [10, 10], right_eye: [5000, 10], mouth_left: [10, 50], mouth_right: [50, 50]}\n"
    found = problems(picture, GOOD + anchors, plugins)
    assert any("outside the image (320x240)" in problem.message for problem in found.values())
    crossed = anchors.replace("5000", "5")
    found = problems(picture, GOOD + crossed, plugins)
    assert any("smaller x" in problem.message for problem in found.values())


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/recipe.yaml")), ids=lambda path: path.parent.name)
def test_the_bundled_recipes_load_and_fit_the_schema(path, plugins):
    load_recipe(path, plugins)
    jsonschema.validate(yaml.safe_load(path.read_text()), recipe_schema(plugins))
    assert (path.parent / "SOURCE.md").exists()


def test_the_kept_schemas_are_fresh(plugins):
    from animacy.core.report import report_schema, schema_text

    assert (ROOT / "docs" / "recipe.schema.json").read_text() == schema_text(recipe_schema(plugins)), "run make schemas"
    assert (ROOT / "docs" / "report.schema.json").read_text() == schema_text(report_schema()), "run make schemas"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.sampled_from(["character", "stt", "llm", "tts", "video", "transport", "turn_taking", "limits", "extra"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(SECTIONS, JSON, max_size=5))
def test_any_data_is_either_loaded_or_refused_politely(picture, plugins, data):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(picture, json.dumps(data)), plugins)
    assert str(caught.value)
