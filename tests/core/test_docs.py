"""Documents that show code or list keys are held to it."""

from __future__ import annotations

import dataclasses
import inspect
import re

import yaml

from animacy.core import CharacterContext, Provider, hookspecs
from animacy.core.plugins import ROLES
from animacy.core.recipe import Character, Idle, Knowledge, Limits, Recipe, TurnTaking, Vision
from animacy.core.recipe_loader import load_recipe
from tests.conftest import ROOT, animacy

DOCS = ROOT / "docs"
SECTIONS = (
    ("turn_taking", TurnTaking),
    ("turn_taking.idle", Idle),
    ("limits", Limits),
    ("knowledge", Knowledge),
    ("vision", Vision),
)


def test_every_hook_is_documented_with_its_arguments():
    text = (DOCS / "plugins.md").read_text()
    for name, hook in vars(hookspecs).items():
        if hasattr(hook, "animacy_spec"):
            arguments = ", ".join(inspect.signature(hook).parameters)
            assert f"`{name}({arguments})`" in text


def test_every_field_that_a_plugin_author_meets_is_documented():
    text = (DOCS / "plugins.md").read_text()
    for section, described in (("Provider", Provider), ("CharacterContext", CharacterContext)):
        part = text.split(f"## {section}\n")[1].split("\n## ")[0]
        for field in dataclasses.fields(described):
            assert f"| `{field.name}` |" in part


def test_every_role_has_its_part_in_the_documents():
    text = (DOCS / "plugins.md").read_text()
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^##+ (.*)$", text, re.MULTILINE)}
    for role in ROLES:
        (anchor,) = re.findall(rf"^\| `{role}_providers\(\)` \| \[[^]]+\]\(#([a-z-]+)\)", text, re.MULTILINE)
        assert anchor in headings


def test_every_key_of_a_recipe_is_documented():
    text = (DOCS / "recipes.md").read_text()
    for section, model in (("character", Character), *SECTIONS):
        for key in model.model_fields:
            assert f"`{section}.{key}`" in text
    for key in Recipe.model_fields:
        assert f"`{key}" in text


def test_every_setting_of_a_built_in_plugin_is_in_its_readme(plugins):
    for record in plugins.loaded:
        for _, provider in record.providers if record.origin == "built in" else ():
            text = (ROOT / "plugins" / record.name / "README.md").read_text()
            for key in provider.settings.model_fields:
                assert f"| `{key}`" in text, f"{record.name}: {key}"


def test_defaults_in_the_documents_are_the_real_ones():
    text = (DOCS / "recipes.md").read_text()
    for section, model in SECTIONS:
        for key, field in model.model_fields.items():
            row = next(line for line in text.splitlines() if line.startswith(f"| `{section}.{key}`"))
            default = row.rsplit("|", 2)[1].strip()
            if isinstance(field.default, str):
                assert default == f"`{field.default}`"
            elif isinstance(field.default, int | float):
                assert float(default) == field.default


def test_the_conformance_example_is_the_tested_one():
    source = (ROOT / "tests" / "testing" / "example.py").read_text()
    assert source in (DOCS / "conformance.md").read_text()


def test_the_readme_recipe_loads(tmp_path, plugins):
    who, more = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    image = next((ROOT / "recipes" / "iris").glob("image.*"))
    recipe = tmp_path / "recipe.yaml"
    documents = tmp_path / "documents"
    documents.mkdir()
    recipe.write_text(who.replace("image.jpg", str(image)) + more)
    assert yaml.safe_load(who)["character"]["name"] == "Iris"
    loaded = load_recipe(recipe, plugins)
    assert loaded.recipe.character.name == "Iris"
    assert [choice.provider.name for choice in loaded.tools] == ["client_event"]
    assert {"knowledge", "embedding", "vision"} <= set(loaded.chosen)


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    listed = animacy("--help").stdout
    commands = re.findall(r"^  ([a-z-]+) ", listed.split("Commands:")[1], re.MULTILINE)
    assert set(commands) >= {"run", "render", "check", "plugins", "new", "doctor", "recipe"}
    for command in commands:
        assert f"`animacy {command}" in text or command == "report"


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
