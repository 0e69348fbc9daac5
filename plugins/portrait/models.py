"""The two model files the analysis of a picture needs."""

from __future__ import annotations

from animacy.core.models import PackagedModel, packaged


def face_model() -> PackagedModel:
    """MediaPipe's face landmarker (a .task archive)."""
    return packaged("face-landmarker")


def figure_model() -> PackagedModel:
    """U2-Net small, which cuts a figure out of its background (ONNX)."""
    return packaged("u2netp")
