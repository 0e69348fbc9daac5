"""A recipe whose visitors meet it in a Daily room, by the real command line and library, as far as that goes alone."""

from __future__ import annotations

import asyncio

import yaml

from tests.conftest import RECIPES, animacy
from tests.wire.daily import daily_server

KEY = "daily-secret"


async def test_a_recipe_runs_up_to_the_join(tmp_path):
    """A room and a token are asked for; the join fails, is told, and the room is removed."""
    image = next((RECIPES / "iris").glob("image.*"))
    async with daily_server() as server:
        recipe = {
            "character": {"name": "Iris", "image": str(image), "persona": "You are Iris."},
            "video": {"width": 320, "height": 180},
            "transport": {
                "plugin": "daily",
                "api_key": "${env:DAILY}",
                "base_url": server.url,
                "join_seconds": 2.0,
            },
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        done = await asyncio.to_thread(animacy, "run", path, DAILY=KEY)
        assert [kind for kind, _ in server.asked] == ["rooms", "meeting-tokens"]
        assert not server.rooms, "the room is left behind"
    assert done.returncode != 0
    assert "let the character into http://127.0.0.1" in done.stderr, done.stderr
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    assert KEY not in done.stderr + done.stdout
