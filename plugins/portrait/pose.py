"""What the character's face and body do in one frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Mouth:
    """Mouth channels, each 0 to 1, 0 at rest.

    `lips` is how far the lips part: at 0 they touch, whatever the other channels say; at 1 they part as the jaw and
    the lip channels have it. `tuck` brings the lower lip under the upper teeth (f, v), `tongue` raises the tongue.
    """

    jaw: float = 0.0
    lips: float = 0.0
    funnel: float = 0.0
    pucker: float = 0.0
    stretch: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    tuck: float = 0.0
    press: float = 0.0
    tongue: float = 0.0


@dataclass(slots=True)
class Pose:
    """Everything that is drawn differently from the reference picture.

    Lids: 0 as in the picture, 1 closed. Gaze: fractions of the eye's width, x to the picture's right, y down. Brows,
    smile and squint 0 to 1 (`brow_inner` and `brow_outer` raise, `brow_down` lowers). Angles in radians: yaw turns to
    the picture's right, pitch bows down, roll leans to the picture's right. Shifts in face heights. Breath 0 to 1.
    """

    mouth: Mouth
    blink_left: float = 0.0
    blink_right: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_down: float = 0.0
    smile: float = 0.0
    squint: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    breath: float = 0.0
