"""From a reference picture to everything a frame is drawn from. Done once, at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from animacy.core.errors import InputError
from animacy.core.video.contract import Portrait, VideoFormat
from animacy.core.video.image import Anchors, load_image
from animacy.plugins.portrait import canonical, eye_fit, framing, matte, mesh, mouth
from animacy.plugins.portrait import topology as topo
from animacy.plugins.portrait.landmarks import FaceLandmarker
from animacy.plugins.portrait.settings import PortraitSettings

F32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]

DENSITY = 2
"""Texels a frame pixel: bilinear reading of a twice finer texture looks as good as cubic reading."""
_WORKING_SIDE = 1600

NO_FACE = """Say where its features are, in pixels of the picture, in the recipe:
    character:
      image: {name}
      anchors:
        left_eye: [{le[0]:.0f}, {le[1]:.0f}]      # the eye on the picture's left
        right_eye: [{re[0]:.0f}, {re[1]:.0f}]
        mouth_left: [{ml[0]:.0f}, {ml[1]:.0f}]
        mouth_right: [{mr[0]:.0f}, {mr[1]:.0f}]"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture made ready. Lengths in frame pixels.

    plate: (h, w, 3), the background with the figure taken out. texture: (h * DENSITY, w * DENSITY, 4), the figure,
    premultiplied. face: (478, 3) landmarks at rest. scale, rotation: how the canonical face lies. stretch: (2,), by
    how much its mouth is wider and taller than the canonical one's at that scale. likeness: how far the
    face is a human one, whose brows and lids move as the canonical ones do: 1 a photograph's, less where drawn.
    """

    plate: Pixels
    texture: Pixels
    face: F32
    mesh: mesh.Mesh
    scale: float
    rotation: F32
    stretch: tuple[float, float]
    colours: mouth.Palette
    teeth: mouth.Teeth
    likeness: float


def build_scene(
    portrait: Portrait, output: VideoFormat, settings: PortraitSettings, models: tuple[Path, Path]
) -> Scene:
    """Analyse the portrait. models: the files of the face landmarker and of the figure cut-out."""
    rgba, shrink = _shrunk(load_image(portrait.image))
    rgb, transparent = _on_backdrop(rgba)
    figure = transparent if transparent is not None else matte.figure(rgb, models[1])
    anchors = _scaled(portrait.anchors, shrink)
    face, found = _face(rgb, figure, anchors, models[0], settings, portrait.image)
    height, width = rgb.shape[:2]
    size, frame = (width, height), (output.width, output.height)
    tall = float(np.linalg.norm(face[topo.FOREHEAD, :2] - face[topo.CHIN, :2]))
    middle = (face[topo.FOREHEAD, :2] + face[topo.CHIN, :2]) / 2
    rows = np.nonzero(figure.max(1) > 0.5)[0]
    top = float(rows[0]) if len(rows) else 0.0
    frame_of = framing.frame_face(size, frame, (float(middle[0]), float(middle[1])), tall, top, settings.zoom)
    canvas = framing.warp(rgb.astype(np.float32), frame_of, frame, DENSITY)
    alpha = np.clip(framing.warp(figure, frame_of, frame, DENSITY), 0, 1)
    outside = framing.beyond(size, frame_of, frame, DENSITY)
    alpha *= (outside <= 0).astype(np.float32)
    canvas = np.clip(framing.soften_beyond(canvas, outside, DENSITY), 0, 255)
    placed = frame_of.place(face)
    drawn = is_drawing(canvas, placed)
    if drawn and found:
        placed = _fit_eyes(placed, canvas)
    placed = settle_lips(placed, canvas, found)
    alpha = _with_face(alpha, placed)
    plate, texture = _layers(canvas, alpha, outside)
    scale, rotation = canonical.similarity(placed)
    placed = _without_steep_sides(placed)
    return Scene(
        plate,
        texture,
        placed,
        mesh.build(placed, texture, outside, DENSITY),
        scale,
        rotation if found else np.eye(3, dtype=np.float32),
        _mouth_stretch(placed, scale),
        _palette(canvas, placed),
        _teeth(settings, found, drawn),
        (0.75 if drawn else 1.0) if found else 0.3,
    )


def _shrunk(rgba: Pixels) -> tuple[Pixels, float]:
    scale = min(1.0, _WORKING_SIDE / max(rgba.shape[:2]))
    if scale == 1.0:
        return rgba, 1.0
    size = (round(rgba.shape[1] * scale), round(rgba.shape[0] * scale))
    return cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), scale


def _scaled(anchors: Anchors | None, scale: float) -> Anchors | None:
    if anchors is None:
        return None
    return Anchors(*(type(p)(p.x * scale, p.y * scale) for p in anchors))


def _on_backdrop(rgba: Pixels) -> tuple[Pixels, F32 | None]:
    """A picture with transparency is its own cut-out: put it on a quiet backdrop of its own colours."""
    alpha = rgba[..., 3].astype(np.float32) / 255
    if float((alpha < 0.5).mean()) < 0.02:
        return np.ascontiguousarray(rgba[..., :3]), None
    colour = (rgba[..., :3] * alpha[..., None]).sum((0, 1)) / max(float(alpha.sum()), 1)
    height, width = alpha.shape
    base = 70 + 0.35 * colour
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    glow = np.exp(-(((xs / width - 0.5) / 0.6) ** 2) - ((ys / height - 0.45) / 0.6) ** 2)
    backdrop = base * (0.72 + 0.38 * glow[..., None])
    mixed = rgba[..., :3] * alpha[..., None] + backdrop * (1 - alpha[..., None])
    return np.clip(mixed, 0, 255).astype(np.uint8), np.asarray(alpha, np.float32)


def _face(
    rgb: Pixels, figure: F32, anchors: Anchors | None, model: Path, settings: PortraitSettings, image: Path
) -> tuple[F32, bool]:
    """Landmarks (478, 3), and whether they were found rather than fitted to the anchors."""
    if anchors is not None:
        return canonical.from_anchors(anchors, _eye_size(rgb, anchors, settings.eye_size)), False
    face = FaceLandmarker(model).find(rgb, figure)
    if face is None:
        height, width = rgb.shape[:2]
        example = {k: (width * x, height * y) for k, x, y in _EXAMPLE}
        raise InputError(f"no face was found in {image}", NO_FACE.format(name=image.name, **example))
    return face.points, True


_EXAMPLE = (("le", 0.42, 0.4), ("re", 0.58, 0.4), ("ml", 0.44, 0.6), ("mr", 0.56, 0.6))


def _eye_size(rgb: Pixels, anchors: Anchors, share: float | None) -> canonical.EyeSize:
    """How far the eyes reach from their centres: given, or where the eye's colours end and the skin's begin."""
    eyes = np.array([anchors.left_eye, anchors.right_eye])
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    if share is not None:
        return canonical.EyeSize(*[share * apart / 2] * 3)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radii = np.linspace(0.05, 0.42, 75) * apart
    sectors = {"aside": np.abs(np.cos(angles)) > 0.8, "up": np.sin(angles) < -0.7, "down": np.sin(angles) > 0.7}
    unlike = {name: np.zeros(len(radii)) for name in sectors}
    for x, y in eyes:
        xs = (x + radii[:, None] * np.cos(angles)).astype(np.float32)
        ys = (y + radii[:, None] * np.sin(angles)).astype(np.float32)
        ring = cv2.remap(lab, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        skin = np.median(ring[-20:, ~sectors["down"]].reshape(-1, 3), axis=0)  # below there may be a muzzle
        for name, sector in sectors.items():
            # Averaged along an arc, fur and wrinkles cancel and the edges of an eye stay.
            unlike[name] += np.linalg.norm(ring[:, sector].mean(1) - skin, axis=1)

    def reach(difference: NDArray[np.float64], first: bool) -> float:
        inner = difference[: len(radii) * 2 // 3]
        if inner.max() < 24:
            return 0.16 * apart
        strong = difference > 0.55 * inner.max()
        start = int(inner.argmax())
        end = start + int(np.argmin(strong[start:])) if first else int(np.nonzero(strong)[0][-1])
        return float(radii[end])

    aside = reach(unlike["aside"], False)
    up, down = reach(unlike["up"], False), reach(unlike["down"], True)
    up, down = (float(np.clip(x + 0.06 * aside, 0.6 * aside, 1.15 * aside)) for x in (up, down))
    return canonical.EyeSize(aside, up, down)


def settle_lips(face: F32, canvas: F32, found: bool) -> F32:
    """Lay the lips of a closed mouth together on the dark line the picture shows between them."""
    upper, lower = list(topo.LIP_UPPER_INNER), list(topo.LIP_LOWER_INNER)
    wide = float(np.linalg.norm(face[308, :2] - face[78, :2]))
    gap = face[lower, 1] - face[upper, 1]
    settled = face.copy()
    if float(gap[5]) > 0.09 * wide:  # an open mouth: keep its teeth out of the lips
        bow = np.sin(np.linspace(0, np.pi, 11))
        settled[upper, 1] -= 0.018 * wide * bow
        settled[lower, 1] += 0.018 * wide * bow
        return settled
    middle = np.asarray((face[upper] + face[lower]) / 2, np.float32)
    shift = _dark_line(canvas, middle, wide, 0.07 if found else 0.2)
    if not found:  # nothing but the corners was known: the lips and the skin about them follow the line
        order = np.argsort(middle[:, 0])
        wanted = np.interp(face[:, 0], middle[order, 0], shift[order])
        line = np.interp(face[:, 0], middle[order, 0], middle[order, 1])
        settled[:, 1] += wanted * mesh.smooth(1.15 - np.abs(face[:, 1] - line) / (0.5 * wide))
    middle[:, 1] += shift
    settled[upper], settled[lower] = middle, middle
    for rings in (topo.LIP_UPPER_RINGS, topo.LIP_LOWER_RINGS):
        for k, ring in enumerate(rings[1:3], start=1):  # keep the rings between in order
            outer, inner = settled[list(rings[0]), :2], settled[list(rings[3]), :2]
            settled[list(ring), :2] = outer * (1 - k / 3) + inner * (k / 3)
    return settled


def _dark_line(canvas: F32, middle: F32, wide: float, reach: float) -> F32:
    """How far below each point (11, 3) of the guessed lip line the picture's dark line lies, in frame pixels (11,).

    The cheapest path (dynamic programming) through the darkness of columns between the mouth's corners.
    """
    columns = 41
    xs = np.interp(np.linspace(0, 10, columns), np.arange(11), middle[:, 0])
    ys = np.interp(np.linspace(0, 10, columns), np.arange(11), middle[:, 1])
    rows = np.linspace(-reach, reach, 61) * wide
    grey = cv2.GaussianBlur(canvas.mean(2).astype(np.float32), (0, 0), 0.008 * wide * DENSITY + 0.5)
    at_x = np.repeat(xs[:, None], len(rows), 1).astype(np.float32) * DENSITY
    at_y = (ys[:, None] + rows[None]).astype(np.float32) * DENSITY
    dark = cv2.remap(grey, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cost = (dark - dark.min()) / max(float(dark.max() - dark.min()), 1) + 0.12 * (rows / (reach * wide))[None] ** 2
    bend = 0.02 * np.abs(np.arange(61)[:, None] - np.arange(61)[None]) ** 1.5
    total, origin = cost[0], []
    for column in cost[1:]:
        through = total[:, None] + bend
        origin.append(through.argmin(0))
        total = through.min(0) + column
    path = [int(total.argmin())]
    for back in reversed(origin):
        path.append(int(back[path[-1]]))
    line = rows[path[::-1]]
    place = np.linspace(-1, 1, columns)
    smooth = np.polyval(np.polyfit(place, line, 6), place)
    return np.asarray(np.interp(np.linspace(0, columns - 1, 11), np.arange(columns), smooth), np.float32)


def _without_steep_sides(face: F32) -> F32:
    """Flatten the depth behind the cheeks: a picture has no sides to show, and steep ones fold when the head turns."""
    flat = face.copy()
    cheeks = float(face[[50, 280], 2].mean())
    flat[:, 2] = np.where(face[:, 2] > cheeks, cheeks + 0.35 * (face[:, 2] - cheeks), face[:, 2])
    return flat


def _with_face(alpha: F32, face: F32) -> F32:
    """The face itself is always figure, whatever the cut-out thought."""
    oval = face[list(topo.OVAL), :2] * DENSITY
    mask = np.zeros(alpha.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(oval).astype(np.int32)], 255)
    soft = cv2.GaussianBlur(mask, (0, 0), 3.0).astype(np.float32) / 255
    return np.asarray(np.maximum(alpha, soft), np.float32)


def _layers(canvas: F32, alpha: F32, outside: F32) -> tuple[Pixels, Pixels]:
    """Split the canvas into plate and figure, such that the two laid together at rest are the canvas again."""
    height, width = alpha.shape
    reach = 2 * int(5 * DENSITY) + 1
    taken = cv2.dilate((alpha > 0.02).astype(np.float32), np.ones((reach, reach), np.uint8))
    taken *= outside <= 0  # what continues the picture's edge stays where it is
    half = (width // 2, height // 2)  # what is behind is smooth: half the size will do
    known = 1 - cv2.resize(taken, half, interpolation=cv2.INTER_NEAREST)
    behind = matte.fill(cv2.resize(canvas, half, interpolation=cv2.INTER_AREA), np.asarray(known, np.float32))
    behind = cv2.resize(behind, (width, height), interpolation=cv2.INTER_LINEAR)
    behind = np.where(taken[..., None] > 0, behind, canvas)
    texture = np.zeros((height, width, 4), np.uint8)
    texture[..., :3] = np.clip(np.round(canvas - behind * (1 - alpha[..., None])), 0, 255)
    texture[..., 3] = np.round(alpha * 255)
    size = (width // DENSITY, height // DENSITY)
    plate = cv2.resize(behind, size, interpolation=cv2.INTER_AREA)
    return np.clip(np.round(plate), 0, 255).astype(np.uint8), texture


def _mouth_stretch(face: F32, scale: float) -> tuple[float, float]:
    model = canonical.canonical().points
    wide = np.linalg.norm(face[291, :2] - face[61, :2]) / np.linalg.norm(model[291, :2] - model[61, :2]) / scale
    chin = np.linalg.norm(face[topo.CHIN, :2] - face[topo.NOSE_TIP, :2])
    tall = chin / np.linalg.norm(model[topo.CHIN, :2] - model[topo.NOSE_TIP, :2]) / scale
    across = float(np.clip(wide, 0.4, 2.0))
    return across, float(np.clip(tall, 0.85 * across, 1.3 * across))


def _mean_colour(canvas: F32, face: F32, points: list[int]) -> F32:
    xy = np.clip(face[points, :2] * DENSITY, 2, np.array(canvas.shape[1::-1]) - 3).astype(int)
    return np.asarray(np.mean([canvas[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1)) for x, y in xy], axis=0), np.float32)


def _palette(canvas: F32, face: F32) -> mouth.Palette:
    lips = _mean_colour(canvas, face, [15, 16, 85, 315, 86, 316])
    skin = _mean_colour(canvas, face, [50, 280, 205, 425, 36, 266])
    return mouth.palette(lips, np.maximum(skin * 1.08, 60))


def is_drawing(canvas: F32, face: F32) -> bool:
    """Whether the face is drawn flat: a good part of its skin has no detail at all."""
    x0, y0 = np.maximum(face[list(topo.OVAL), :2].min(0) * DENSITY, 0).astype(int)
    x1, y1 = (face[list(topo.OVAL), :2].max(0) * DENSITY).astype(int)
    skin = canvas[y0:y1, x0:x1].mean(2)
    size = (round(240 * skin.shape[1] / skin.shape[0]), 240)  # the same detail whatever the frame's size
    skin = cv2.resize(skin, size, interpolation=cv2.INTER_AREA)
    detail = np.abs(skin - cv2.GaussianBlur(skin, (0, 0), 2.0))
    return float(np.percentile(detail, 20)) < 0.2


def _fit_eyes(face: F32, canvas: F32) -> F32:
    texels = face.copy() * DENSITY
    for side in (0, 1):
        opening = eye_fit.measure(canvas, texels[:, :2], side)
        if opening is not None:
            texels = eye_fit.apply(texels, side, opening)
    return np.asarray(texels / DENSITY, np.float32)


def _teeth(settings: PortraitSettings, found: bool, drawn: bool) -> mouth.Teeth:
    if settings.teeth != "auto":
        return settings.teeth
    return "none" if not found else "simple" if drawn else "natural"
