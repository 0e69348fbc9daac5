"""A conversation over a link that takes 100 ms and loses 2 % of the packets, in both directions, by real TCP."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import QUESTIONS, RECIPES, ROOT
from tests.e2e.network import SERVER, bad_network, missing
from tests.e2e.server import animacy_run


@pytest.mark.realtime
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_it_still_converses():
    """A question is understood and answered, and no sound is lost; the picture gives way instead."""
    with (
        bad_network(delay=0.1, loss=0.02) as hosts,
        animacy_run(
            RECIPES / "iris" / "recipe.yaml", "--host", SERVER, "--port", "7860", prefix=hosts.server
        ) as running,
    ):
        client = [*hosts.client, sys.executable, "-m", "tests.e2e.far_client", running.url, QUESTIONS / "01.flac"]
        done = subprocess.run(client, capture_output=True, text=True, timeout=180, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (answer,) = result["answers"]
    assert "mona lisa" in answer["transcript"].lower()
    assert len(answer["text"].split()) > 3
    assert result["sound_missing"] < 0.1
    assert min(result["formats"]) < [1280, 720], "the quality did not give way"
    assert result["fps"] > 5
