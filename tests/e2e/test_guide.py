"""Iris at work in a real Chromium: she answers from documents, acts in the page, asks a real server, and sees."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from benchmarks.sight import show
from benchmarks.vision import DATA
from tests.conftest import RECIPES

pytest.importorskip("playwright", reason="playwright drives the browser: pip install 'animacy[test]'")

from tests.e2e.browser import CHROMIUM, WITHOUT, Browser, chromium
from tests.e2e.server import Running, animacy_run
from tests.e2e.test_page import hear_out, start, until

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT),
    pytest.mark.asyncio(loop_scope="module"),
]

GUIDE = RECIPES / "iris" / "guide.yaml"
WAITING = 43


@contextlib.asynccontextmanager
async def museum() -> AsyncIterator[tuple[str, list[dict]]]:
    """The museum's own server: its address, and what it was asked to book."""
    booked: list[dict] = []

    async def queue(_: web.Request) -> web.Response:
        return web.json_response({"people_waiting": WAITING})

    async def tours(request: web.Request) -> web.Response:
        booked.append(await request.json())
        return web.json_response({"booked": True})

    app = web.Application()
    app.add_routes([web.post("/queue", queue), web.post("/tours", tours)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", booked
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    """One guide for all tests, with the museum's server behind it."""
    async with museum() as (url, _):
        os.environ["MUSEUM_SERVER"] = url
        context = animacy_run(GUIDE, "--port", "0")
        running: Running = await asyncio.to_thread(context.__enter__)
        yield running
        await asyncio.to_thread(context.__exit__, None, None, None)
        del os.environ["MUSEUM_SERVER"]


async def ask(browser: Browser, text: str) -> None:
    """Write to the character."""
    await browser.page.locator("#text").fill(text)
    await browser.page.locator("#text").press("Enter")


async def say(browser: Browser, text: str) -> str:
    """Write to the character and wait until its answer is over; returns what it said."""
    lines, turns = await browser.page.evaluate("[window.animacy.captions.length, window.animacy.stats().turns]")
    await ask(browser, text)
    await until(browser.page, f"window.animacy.stats().turns > {turns}")
    said = await browser.page.evaluate(
        f"window.animacy.captions.slice({lines}).map((line) => [line.speaker, line.text])"
    )
    return " ".join(text for speaker, text in said if speaker != "user")


async def test_it_acts_in_the_page_and_asks_the_server(server):
    async with chromium() as browser:
        page = browser.page
        await start(browser, server)
        await browser.watch((0.4, 0.4, 0.2, 0.2))
        await hear_out(browser, quiet=1.0)
        await page.evaluate("document.addEventListener('animacy:event', (e) => (window.__event = e.detail))")

        await ask(browser, "Show me the map of the second floor.")
        card = page.locator("#board [data-event=show_map]")
        await card.wait_for()
        assert "2" in await card.inner_text()
        assert await page.evaluate("window.__event.arguments.floor") == 2

        form = "<p id=tickets data-avatar-area>Tickets</p>"
        await page.evaluate(f"document.body.insertAdjacentHTML('beforeend', '{form}')")
        await ask(browser, "Scroll to the ticket form.")
        await until(page, "window.animacy.stats().actions == 1")

        await ask(browser, "How long is the queue right now?")
        await until(page, f"window.animacy.captions.some((line) => /{WAITING}|forty/i.test(line.text))")
        assert browser.problems == []


async def test_it_answers_from_its_documents_and_names_them(server):
    async with chromium() as browser:
        await start(browser, server)
        await browser.watch((0.4, 0.4, 0.2, 0.2))
        await hear_out(browser, quiet=1.0)
        answer = await say(browser, "Is there a submarine in the museum that I can dive with?")
        assert "know" in answer.lower(), answer
        await ask(browser, "When does the museum open?")
        await browser.page.locator(".sources").wait_for()
        assert ".md" in await browser.page.locator(".sources summary").inner_text()
        assert browser.problems == []


@pytest.mark.parametrize("picture", ["camera_note.jpg", "screen_browser.png"])
async def test_it_sees_what_is_shown(server, picture):
    """A camera, and a tab that is shared; benchmarks/sight.py shows all pictures and asks everything."""
    questions = yaml.safe_load((DATA / "expected.yaml").read_text(encoding="utf-8"))[picture]
    [row] = await show(server.url, server.process.pid, DATA / picture, questions[1:2])
    assert row["verdict"] == "right", row
