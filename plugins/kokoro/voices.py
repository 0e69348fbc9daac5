"""The voices that come with the plugin: tables of style vectors, one row for each length of the text."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

from animacy.core.errors import RecipeError
from animacy.plugins.kokoro.network import Floats

DEFAULTS = {"en-us": "af_heart", "en-gb": "bf_emma"}
"""The voice for a language (lower case) when the recipe names none."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A bundled voice. `language` is the accent it was made for, "en-US" or "en-GB"."""

    name: str
    language: str
    description: str

    @property
    def british(self) -> bool:
        """Whether it should be given British phonemes."""
        return self.language == "en-GB"

    def styles(self) -> Floats:
        """Its style vectors, float32 (510, 256)."""
        tables = load(files(__package__).joinpath("voices.safetensors").read_bytes())
        return tables[self.name].astype(np.float32)


@cache
def voices() -> dict[str, Voice]:
    """All bundled voices by name."""
    manifest = json.loads(files(__package__).joinpath("voices.json").read_text("utf-8"))
    return {name: Voice(name, v["language"], v["description"]) for name, v in manifest["voices"].items()}


def find_voice(name: str | None, language: str) -> Voice:
    """The voice called `name`, or the usual one of `language` (a BCP 47 tag) when it is None.

    Raises RecipeError for an unknown voice, naming the closest, and for a language that is not English.
    """
    tag = language.replace("_", "-").lower()
    if tag.split("-")[0] != "en":
        raise RecipeError(
            f"the kokoro plugin speaks English, not {language!r}",
            "Set the character's language to en-US or en-GB, or choose another tts plugin.",
        )
    name = name or DEFAULTS.get(tag, DEFAULTS["en-us"])
    if name not in voices():
        close = difflib.get_close_matches(name.lower(), voices(), n=1, cutoff=0.4)
        closest = f"Did you mean {close[0]!r}? " if close else ""
        raise RecipeError(f"there is no kokoro voice {name!r}", f"{closest}Available: {', '.join(sorted(voices()))}.")
    return voices()[name]
