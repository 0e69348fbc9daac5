"""Names for the points of the 478-point face, as MediaPipe's face landmarker numbers them.

Left and right are the picture's. Contours run from the outer corner to the inner one for eyes, and from the picture's
left corner to the right one for lips.
"""

from __future__ import annotations

POINTS = 478

EYE_UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
EYE_LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
IRIS = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
"""Centre first, then four points of the rim."""
BROW_LOWER = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))

LIP_UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIP_LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIP_UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIP_LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)

LIP_UPPER_RINGS = (
    LIP_UPPER_OUTER,
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292),
    LIP_UPPER_INNER,
)
LIP_LOWER_RINGS = (
    LIP_LOWER_OUTER,
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292),
    LIP_LOWER_INNER,
)
"""Four contours from the lip's skin edge to the line where the lips meet, eleven columns each."""

OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The face's outline, clockwise as seen from the top of the forehead."""

FOREHEAD, CHIN, NOSE_TIP = 10, 152, 1
MOUTH_CORNERS = (61, 291)
EYE_CORNERS = ((33, 133), (263, 362))
"""Outer and inner corner of either eye."""
