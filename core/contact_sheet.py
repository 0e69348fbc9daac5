"""A film as one picture: evenly spaced frames with their times."""

from __future__ import annotations

from pathlib import Path

import av
from PIL import Image, ImageDraw


def draw_contact_sheet(film: Path, path: Path, columns: int = 6, rows: int = 4, width: int = 320) -> None:
    """Write a PNG of columns x rows frames spread over the whole film, each `width` pixels wide."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        count = stream.frames or sum(1 for _ in container.decode(stream))
    wanted = {round((slot + 0.5) * count / (columns * rows)) for slot in range(columns * rows)}
    tiles: list[Image.Image] = []
    with av.open(str(film)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                tile = frame.to_image(width=width, height=round(width * frame.height / frame.width))
                label = f"{frame.time:.2f} s"
                ImageDraw.Draw(tile).text((6, 4), label, fill="white", stroke_width=2, stroke_fill="black")
                tiles.append(tile)
    if not tiles:
        return
    height = tiles[0].height
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height))
    for position, tile in enumerate(tiles):
        sheet.paste(tile, (position % columns * width, position // columns * height))
    sheet.save(path, format="PNG")
