"""Makes the pictures of this folder again: screens from the HTML files, camera-like pictures from free sources.

    python source/make.py SKIMAGE EMOJI

SKIMAGE: the folder `skimage/data` of the wheel scikit-image 0.26.0.
EMOJI: the folder `assets` of npm @lobehub/fluent-emoji-3d 1.1.0.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
OUT = HERE.parent
ROOT = OUT.parents[2]
FONT = "DejaVuSans-Bold.ttf"


def screens() -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        for html in sorted(HERE.glob("*.html")):
            page.goto(html.as_uri())
            page.screenshot(path=OUT / f"screen_{html.stem}.png")
        browser.close()


def room(wall: tuple[int, int, int], table: tuple[int, int, int] | None = None, size=(960, 720)) -> Image.Image:
    """A plain room: a wall with a little shade, perhaps a table, and a camera's noise."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    shade = 1.04 - 0.12 * np.hypot(x / width - 0.45, y / height - 0.3)
    picture = np.array(wall, float) * shade[..., None]
    if table:
        picture[int(height * 0.72) :] = np.array(table, float) * shade[int(height * 0.72) :, :, None]
    noise = np.random.default_rng(1).normal(0, 2, picture.shape)
    return Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8))


def put(picture: Image.Image, thing: Image.Image, x: int, y: int, side: int) -> None:
    thing = thing.convert("RGBA").resize((side, side * thing.height // thing.width), Image.LANCZOS)
    shadow = Image.new("RGBA", thing.size, (0, 0, 0, 0))
    shadow.putalpha(thing.getchannel("A").point(lambda a: a // 3).filter(ImageFilter.GaussianBlur(8)))
    picture.paste(shadow, (x + 6, y + 10), shadow)
    picture.paste(thing, (x, y), thing)


def paper(text: str, size: tuple[int, int], font: int) -> Image.Image:
    sheet = Image.new("RGBA", size, (250, 249, 245, 255))
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text(
        (size[0] / 2, size[1] / 2), text, (25, 25, 30), ImageFont.truetype(FONT, font), "mm", 12, "center"
    )
    return sheet.rotate(3, Image.BICUBIC, expand=True)


def save(name: str, picture: Image.Image) -> None:
    picture.convert("RGB").save(OUT / f"camera_{name}.jpg", quality=86)


def photo(path: Path, box: tuple[int, int, int, int] | None = None, size=(960, 720)) -> Image.Image:
    """A photograph fitted into a camera's picture: cropped to its shape."""
    picture = Image.open(path).convert("RGB")
    picture = picture.crop(box) if box else picture
    want = size[0] / size[1]
    width, height = picture.size
    if width / height > want:
        cut = int((width - height * want) / 2)
        picture = picture.crop((cut, 0, width - cut, height))
    else:
        picture = picture.crop((0, 0, width, int(width / want)))
    return picture.resize(size, Image.LANCZOS)


def cameras(skimage: Path, emoji: Path) -> None:
    def figure(code: str) -> Image.Image:
        return Image.open(emoji / f"{code}.webp")

    save("astronaut", photo(skimage / "astronaut.png"))
    save("cat", photo(skimage / "chelsea.png"))
    save("cup", photo(skimage / "coffee.png"))
    iris = Image.open(ROOT / "recipes/iris/image.jpg").convert("RGB")
    save("guide", photo(ROOT / "recipes/iris/image.jpg", size=(720, 720)))
    two = room((176, 190, 200), size=(1280, 720))
    face = Image.open(skimage / "astronaut.png").convert("RGB").crop((100, 0, 350, 300))
    two.paste(face.resize((500, 600), Image.LANCZOS), (90, 120))
    two.paste(iris.resize((620, 620 * iris.height // iris.width), Image.LANCZOS).crop((0, 0, 620, 620)), (640, 100))
    save("two_people", two)
    empty = room((120, 160, 120), (120, 84, 50))
    save("empty_room", empty)
    umbrella = room((214, 220, 226), (150, 110, 74))
    put(umbrella, figure("2602-fe0f"), 270, 190, 420)
    save("umbrella", umbrella)
    note = room((150, 170, 190))
    put(note, paper("MEETING AT NOON\nROOM 204", (560, 260), 50), 190, 210, 580)
    save("note", note)
    for name, code in (("thumbs_up", "1f44d-1f3fc"), ("victory", "270c-1f3fc")):
        hand = room((92, 110, 140))
        put(hand, figure(code), 260, 140, 440)
        save(name, hand)


if __name__ == "__main__":
    screens()
    cameras(Path(sys.argv[1]), Path(sys.argv[2]))
