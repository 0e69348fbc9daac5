"""`animacy new-plugin`: a package of one's own that works at once, to be changed from there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from animacy.core.errors import InputError
from animacy.core.plugins import Plugins, suggestion

TEMPLATES = Path(__file__).parent / "plugin_templates"
COMMON = "common"
SUFFIX = ".template"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 30
ROLES = {
    "stt": "Speech to text",
    "llm": "A language model",
    "tts": "A voice",
    "video": "A renderer",
    "tool": "A tool",
    "vision": "Eyes",
    "embedding": "Embeddings of text",
    "knowledge": "A store for what a character knows",
}
"""Those that there is a template for, in words."""


def new_plugin(plugins: Plugins, name: str, role: str) -> None:
    """Make a folder with a package for one role. Nothing that exists is overwritten. Raises InputError."""
    if role not in ROLES:
        raise InputError(f"there is no template for the role {role!r}", suggestion(role, ROLES))
    name = _checked(name)
    _refuse_taken(plugins, name)
    folder = Path(f"animacy-{name}")
    if folder.exists():
        raise InputError(f"{folder} exists already", "Choose another name, or remove the folder.")
    try:
        _write(folder, name, role)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            f"{folder} cannot be written: {error.strerror}", "Change to a folder you may write to."
        ) from error
    print(f"made {folder}; now: cd {folder} && pip install -e '.[test]' && pytest")


def _checked(name: str) -> str:
    """The name without what every package of ours begins with; underscores are hyphens in a package's name."""
    plain = name.strip().replace("_", "-").removeprefix("animacy-")
    if not NAME.fullmatch(plain):
        better = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-0123456789") or "my-plugin"
        rule = "Use lower case letters and digits, with hyphens between words, and begin with a letter"
        raise InputError(f"{name!r} cannot be a plugin's name", f"{rule}: {better}")
    if len(plain) > LONGEST_NAME:
        raise InputError(f"{name!r} is too long for a plugin's name", f"Use at most {LONGEST_NAME} characters.")
    return plain


def _refuse_taken(plugins: Plugins, name: str) -> None:
    module = name.replace("-", "_")
    for plugin in plugins.loaded:
        if module == plugin.name or module in (provider.name for _, provider in plugin.providers):
            raise InputError(f"{module} is the name of a plugin already ({plugin.origin})", "Choose another name.")


def _write(folder: Path, name: str, role: str) -> None:
    module = name.replace("-", "_")
    (work,) = (path for path in (TEMPLATES / role).glob(f"*.py{SUFFIX}") if not path.name.startswith("__"))
    words = {
        "ROLE_IN_WORDS": ROLES[role],
        "RECIPE_LINES": (TEMPLATES / role / f"recipe.yaml{SUFFIX}").read_text(encoding="utf-8").strip(),
        "MODULE": work.name.removesuffix(f".py{SUFFIX}"),
        "ROLE": role,
        "PluginName": "".join(part.capitalize() for part in name.split("-")),
        "plugin_name": module,
        "plugin-name": name,
    }

    def filled(text: str) -> str:
        for placeholder, word in words.items():
            text = text.replace(placeholder, word)
        return text

    package = folder / f"animacy_{module}"
    package.mkdir(parents=True)
    for source, target in ((COMMON, folder), (role, package)):
        for template in (TEMPLATES / source).glob(f"*{SUFFIX}"):
            if template.name != f"recipe.yaml{SUFFIX}":
                path = target / filled(template.name.removesuffix(SUFFIX))
                path.write_text(filled(template.read_text(encoding="utf-8")), encoding="utf-8")
