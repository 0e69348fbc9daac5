"""Every built-in provider for a service on the network through the kit, with a server of its protocol."""

from __future__ import annotations

import pytest

from animacy.testing import check_async
from tests.testing.remote import REMOTE


@pytest.mark.parametrize(("role", "name"), REMOTE, ids=lambda value: value)
async def test_one_on_the_network(role, name, plugins, character):
    async with REMOTE[role, name]() as settings:
        report = await check_async(role, name, settings, plugins, character=character)
    report.raise_if_failed()
    outcomes = {result.name: result.outcome for result in report.results}
    for rule in ("hides secrets in its settings", "tells of a wrong key", "keeps secrets out of logs and errors"):
        assert outcomes[rule] == "passed", report
