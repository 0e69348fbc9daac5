"""The real models on the pictures of tests/data/vision, and on pictures that show nothing."""

import gc
import weakref

import numpy as np
import pytest
import yaml
from PIL import Image

from animacy.core.provider import CharacterContext
from animacy.core.vision.questions import answer
from benchmarks.vision import DATA, right

EXPECTED = yaml.safe_load((DATA / "expected.yaml").read_text())


@pytest.fixture(scope="module")
def perception(plugins):
    provider = plugins.get("vision", "perception")
    made = provider.create(provider.settings(), CharacterContext("Test", threads=2))
    made.load()
    yield made
    made.close()


@pytest.mark.parametrize("name", EXPECTED)
def test_questions_on_a_picture(perception, name):
    picture = np.asarray(Image.open(DATA / name).convert("RGB"))
    look = perception.look(picture, "screen" if name.startswith("screen") else "camera")
    said = {item["ask"]: answer(look, item["ask"]) for item in EXPECTED[name]}
    wrong = {item["ask"]: said[item["ask"]] for item in EXPECTED[name] if not right(said[item["ask"]], item)}
    assert not wrong, f"of {said}\n{look}"


def test_the_text_of_a_screen_is_told_in_order(perception):
    look = perception.look(np.asarray(Image.open(DATA / "screen_browser.png").convert("RGB")), "screen")
    assert [line.number for line in look.facts.lines] == list(range(1, len(look.facts.lines) + 1))
    assert look.facts.lines[0].heading and not look.facts.lines[1].heading
    assert look.facts.address == "books.example.com/invoices"
    assert [tab.title for tab in look.facts.tabs] == ["Inbox", "Invoices", "Calendar"]


def half_transparent():
    pixels = np.zeros((240, 320, 4), np.uint8)
    pixels[60:180, 80:240] = (255, 0, 0, 128)
    return np.asarray(Image.fromarray(pixels, "RGBA").convert("RGB"))


ODD = {
    "black": np.zeros((480, 640, 3), np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8),
    "1x1": np.zeros((1, 1, 3), np.uint8),
    "one row": np.full((1, 640, 3), 200, np.uint8),
    "tall": np.full((1500, 40, 3), 90, np.uint8),
    "4000x3000": np.repeat(np.linspace(0, 255, 4000).astype(np.uint8)[None, :, None], 3000, 0).repeat(3, 2),
    "half transparent": half_transparent(),
}


@pytest.mark.parametrize("source", ["camera", "screen"])
@pytest.mark.parametrize("picture", ODD.values(), ids=ODD)
def test_pictures_that_show_nothing(perception, picture, source):
    look = perception.look(picture, source)
    assert look.summary
    assert not look.facts.people and not look.facts.hands and not look.facts.tabs


def test_at_most_so_many_pieces_are_read_and_the_rest_is_counted(plugins):
    provider = plugins.get("vision", "perception")
    made = provider.create(provider.settings(max_lines=3), CharacterContext("Test", threads=2))
    try:
        look = made.look(np.asarray(Image.open(DATA / "screen_slide.png").convert("RGB")), "screen")
    finally:
        made.close()
    assert len(look.facts.lines) == 3 and look.facts.unread == 2
    assert look.details[-1] == "(two more lines not read)"


def test_close_frees_the_models_and_a_later_look_brings_them_back(plugins):
    provider = plugins.get("vision", "perception")
    made = provider.create(provider.settings(text=False), CharacterContext("Test", threads=1))
    made.load()
    models = weakref.ref(made._models.faces)
    made.close()
    made.close()
    gc.collect()
    assert models() is None
    assert made.look(ODD["black"], "camera").summary
    made.close()
