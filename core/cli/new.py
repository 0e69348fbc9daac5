"""`animacy new`: from a picture to a first recipe."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from animacy.core.errors import InputError
from animacy.core.video.image import load_image

TEMPLATE = """\
# What else a recipe may say: `animacy recipe schema`, and the project's docs/recipes.md.
character:
  name: {name}
  image: {image}
  persona: >-
    You are {plain}, a friendly host. You are warm and to the point. {plain} is the only identity you have.
    Reply with one or two short spoken sentences, in plain words.
  # Two or three exchanges set the tone better than a long persona.
  examples:
    - user: Who are you?
      character: I'm {plain}. Ask me anything you like.
  greeting: Hello, I'm {plain}. What would you like to know?
  language: en-US
  # Only if no face is found in the picture: pixels of the image, left and right as you see them.
  # anchors: {{left_eye: [410, 380], right_eye: [610, 380], mouth_left: [440, 600], mouth_right: [580, 600]}}

stt: whisper
llm: llama
tts: kokoro
video: {{plugin: portrait}}
transport: web
"""


def new_recipe(name: str, image: Path) -> None:
    """Make a folder with the picture and a recipe. Nothing that exists is overwritten."""
    plain = " ".join(name.split())
    folder = Path(re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-"))
    if not folder.name:
        raise InputError(f"{name!r} cannot be a folder's name", "Use letters or digits.")
    load_image(image)
    if folder.exists():
        raise InputError(f"{folder} exists already", "Choose another name, or remove the folder.")
    try:
        folder.mkdir(parents=True)
        copy = folder / f"image{image.suffix.lower()}"
        shutil.copyfile(image, copy)
        text = TEMPLATE.format(
            name=json.dumps(plain, ensure_ascii=False), plain=plain.replace(":", ""), image=copy.name
        )
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            f"{folder} cannot be written: {error.strerror}", "Change to a folder you may write to."
        ) from error
    print(f"made {folder / 'recipe.yaml'}; now edit the persona, then: animacy check {folder / 'recipe.yaml'}")
