"""Reading reference pictures safely: size limits first, pixels after."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from animacy.core.errors import InputError

MAX_PIXELS = 50_000_000
MIN_SIDE = 64
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


class Point(NamedTuple):
    """A position in the reference picture, in pixels from its top left corner, after EXIF rotation."""

    x: float
    y: float


class Anchors(NamedTuple):
    """Where the features of a face are, named as seen in the picture (left is the picture's left)."""

    left_eye: Point
    right_eye: Point
    mouth_left: Point
    mouth_right: Point


def load_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture as RGBA, shape (height, width, 4), upright.

    Raises InputError for a missing, empty, corrupt, animated-only, too small or too large file. The size is read from
    the header, so a decompression bomb is refused before any pixel is decoded.
    """
    if not path.exists():
        raise InputError(f"image {path} does not exist", "Check the path; it is relative to the recipe.")
    if path.is_dir():
        raise InputError(f"image {path} is a directory", "Name a picture file.")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"image {path} is empty (0 bytes)", "Save the picture again.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise InputError(
                        f"image {path} is {width}x{height} ({width * height / 1e6:.0f} megapixels)",
                        f"Scale it down to at most {MAX_PIXELS // 1_000_000} megapixels; 1500 pixels high is plenty.",
                    )
                if min(width, height) < MIN_SIDE:
                    raise InputError(
                        f"image {path} is only {width}x{height}", f"Use a picture of at least {MIN_SIDE} pixels a side."
                    )
                upright = ImageOps.exif_transpose(image)
                return np.asarray(upright.convert("RGBA"))
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise InputError(
            f"image {path} is too large ({int(pixels[1]) / 1e6:.0f} megapixels)"
            if pixels
            else f"image {path} is too large",
            f"Scale it down to at most {MAX_PIXELS // 1_000_000} megapixels.",
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"image {path} is not a picture in a known format", f"Use one of {', '.join(FORMATS)}."
        ) from error
    except PermissionError as error:
        raise InputError(
            f"image {path} cannot be read: permission denied", "Give read permission to the file."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"image {path} is damaged: {error}", "Save or download the picture again.") from error
