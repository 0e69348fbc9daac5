"""Where a face is in a picture; shared with everything else that looks at faces."""

from __future__ import annotations

from animacy.core.vision.face import BLENDSHAPES, Box, Face, FaceLandmarker, box_of

__all__ = ["BLENDSHAPES", "Box", "Face", "FaceLandmarker", "box_of"]
