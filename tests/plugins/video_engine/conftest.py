"""Leaves the tests that need a running engine out, with a reason, where PyTorch is not installed."""

from __future__ import annotations

import importlib.util

import pytest

REASON = "an engine needs PyTorch: pip install 'animacy[engine-test]'"


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("torch") is None:
        for item in items:
            if item.path.parent.name == "video_engine" and "engine" in item.fixturenames:
                item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture
def engine():
    """Asked for by tests that start an engine."""
