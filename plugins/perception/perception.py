"""The whole look: which model sees what, and the facts put together."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.core.models import packaged
from animacy.core.vision.contract import Look, PictureSource
from animacy.core.vision.face import FaceLandmarker
from animacy.core.vision.facts import Facts, TextLine
from animacy.plugins.perception import colours, gestures, people, tell
from animacy.plugins.perception.classifier import Classifier
from animacy.plugins.perception.hands import HandLandmarker
from animacy.plugins.perception.layout import Piece, letters_of, paper_of, regions_of
from animacy.plugins.perception.mask import PeopleMask
from animacy.plugins.perception.ocr import TextBox, TextReader
from animacy.plugins.perception.screen import screen_facts
from animacy.plugins.perception.things import things

Pixels = NDArray[np.uint8]

_LONGEST = {"camera": 1280, "screen": 1920}
"""Pixels of the longer side that are looked at; larger pictures are made smaller."""
_LONGEST_FIND = {"camera": 640, "screen": 1280}
"""The same for finding text: letters of 10 pixels are still found on a screen; in a camera text is held up large."""
_CAMERA_LINES = 12
_LEAST = 32
"""Pixels of the shorter side; in less there is nothing to see."""


@dataclass(slots=True)
class _Models:
    faces: FaceLandmarker
    hands: HandLandmarker
    mask: PeopleMask
    classifier: Classifier
    reader: TextReader | None


class LocalPerception:
    """Looks with small models on this machine. Keeps no picture. Not safe for use from two threads at once.

    Parameters:
        threads: compute threads at most.
        text: whether text is read.
        max_lines: pieces of text read in one look at most.
    """

    def __init__(self, threads: int, text: bool = True, max_lines: int = 60) -> None:
        self._threads, self._text, self._max_lines = threads, text, max_lines
        self._models: _Models | None = None

    def load(self) -> None:
        """Load the models; does nothing when they are loaded. Raises ModelError."""
        self._loaded()

    def look(self, picture: Pixels, source: PictureSource) -> Look:
        """Tell what is in a picture (height, width, 3), RGB uint8. Raises ModelError when the models do not load."""
        models = self._loaded()
        start = time.monotonic()
        height, width = picture.shape[:2]
        scale = min(1.0, _LONGEST[source] / max(height, width))
        if min(height, width) * scale < _LEAST:
            facts = Facts()
        else:
            rgb = picture
            if scale < 1:
                size = (round(width * scale), round(height * scale))
                rgb = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
            facts = _camera(rgb, models) if source == "camera" else _screen(rgb, models, self._max_lines)
        if source == "camera":
            summary, details = tell.camera_summary(facts), tell.camera_details(facts)
        else:
            summary, details = tell.screen_summary(facts), tell.screen_details(facts)
        return Look(source, summary, details, time.monotonic() - start, facts)

    def close(self) -> None:
        """Free the models. May be called twice; the next look loads them again."""
        self._models = None

    def _loaded(self) -> _Models:
        if self._models is None:
            hands = packaged("hand-landmarker").ensure()
            self._models = _Models(
                faces=FaceLandmarker(packaged("face-landmarker").ensure(), self._threads),
                hands=HandLandmarker(hands / "hand_landmarker.task", self._threads),
                mask=PeopleMask(hands / "selfie_segmenter.tflite", self._threads),
                classifier=Classifier(packaged("efficientnet-lite0").ensure(), self._threads),
                reader=TextReader(packaged("pp-ocrv6-small").ensure(), self._threads) if self._text else None,
            )
        return self._models


def _camera(rgb: Pixels, models: _Models) -> Facts:
    width = rgb.shape[1]
    faces = models.faces.find_all(rgb)
    hands = [hand.points for hand in models.hands.find_all(rgb)]
    figure = models.mask(rgb)
    anyone = bool(faces or hands)
    boxes = models.reader.find(rgb, _LONGEST_FIND["camera"])[:_CAMERA_LINES] if models.reader else []
    return Facts(
        people=tuple(people.person(face, rgb, figure) for face in faces),
        hands=tuple(gestures.hand(points, width) for points in hands),
        things=things(rgb, models.classifier, hands, anyone),
        background=colours.words(rgb[figure < 0.1] if anyone else _border(rgb)),
        # Folds and edges look like single letters; what is held up to be read is a word at least.
        lines=_lines([p for p in _pieces(rgb, boxes, models.reader) if sum(c.isalnum() for c in p.text) > 1]),
    )


def _screen(rgb: Pixels, models: _Models, most: int) -> Facts:
    if models.reader is None:
        return Facts()
    boxes = models.reader.find(rgb, _LONGEST_FIND["screen"])
    return screen_facts(rgb, _pieces(rgb, boxes[:most], models.reader), max(0, len(boxes) - most))


def _pieces(rgb: Pixels, boxes: list[TextBox], reader: TextReader | None) -> list[Piece]:
    texts = reader.read(rgb, boxes) if reader else []
    pieces = [
        Piece(text, *box.bounds, paper_of(rgb, *box.bounds)) for box, text in zip(boxes, texts, strict=True) if text
    ]
    return [replace(piece, letters=letters_of(rgb, piece)) for piece in pieces]


def _lines(pieces: list[Piece]) -> tuple[TextLine, ...]:
    rows = [(index, row) for index, region in enumerate(regions_of(pieces), 1) for row in region]
    return tuple(TextLine(number, row.text, region) for number, (region, row) in enumerate(rows, 1))


def _border(rgb: Pixels) -> Pixels:
    """What is at the picture's upper and outer edges, where a thing rarely is."""
    height, width = rgb.shape[:2]
    y, x = max(1, height // 8), max(1, width // 8)
    parts = (rgb[:y], rgb[y:, :x], rgb[y:, -x:])
    return np.concatenate([part.reshape(-1, 3) for part in parts])
