"""The page in a real Chromium, talking with the real character: what it shows and plays is read off the browser."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import pytest_asyncio

from tests.conftest import QUESTIONS, RECIPES

pytest.importorskip("playwright", reason="playwright drives the browser: pip install 'animacy[test]'")
from playwright.async_api import Page

from tests.e2e.browser import CHROMIUM, WITHOUT, Browser, chromium, recording
from tests.e2e.server import Running, animacy_run

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT),
    pytest.mark.asyncio(loop_scope="module"),
]

IRIS = RECIPES / "iris" / "recipe.yaml"
MOUTH = (0.43, 0.5, 0.14, 0.16)
"""Where Iris's mouth is, as shares of the picture."""
PATIENCE = 90.0
"""Seconds for a question and its answer."""
QUIET = 0.004
"""Loudness of the page below which nobody speaks."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    """One server for all pages."""
    context = animacy_run(IRIS, "--port", "0")
    running = await asyncio.to_thread(context.__enter__)
    yield running
    await asyncio.to_thread(context.__exit__, None, None, None)


async def start(browser: Browser, server: Running, address: str = "") -> None:
    await browser.page.goto(server.url + "/" + address)
    await browser.page.get_by_role("button", name="Start talking").click()


async def until(page: Page, condition: str) -> None:
    """Wait for something in the page; asked from outside, for the page's policy forbids `eval` to wait inside."""
    async with asyncio.timeout(PATIENCE):
        while not await page.evaluate(condition):  # noqa: ASYNC110  # the page tells nobody
            await asyncio.sleep(0.2)


async def hear_out(browser: Browser, quiet: float = 2.5, patience: float = PATIENCE) -> list:
    """Wait until the character has spoken and is silent again; returns everything seen meanwhile."""
    pieces, spoken, last = [], False, 0.0
    async with asyncio.timeout(patience):
        while True:
            await asyncio.sleep(0.5)
            seen = await browser.seen()
            if not len(seen.at):
                continue
            pieces.append(seen)
            loud = seen.at[seen.level > QUIET]
            if len(loud):
                spoken, last = True, loud[-1]
            if spoken and seen.at[-1] - last > quiet:
                return pieces


def mouth_follows_voice(pieces: list) -> tuple[float, float]:
    """How much the mouth's region moves while the voice is heard, and while it is not."""
    motion = np.concatenate([piece.motion for piece in pieces])
    loud = np.concatenate([piece.level for piece in pieces]) > QUIET
    return float(np.mean(motion[loud])), float(np.mean(motion[~loud]))


SPOKEN = (("01.flac", "Mona Lisa"),)


@pytest.mark.parametrize(("connection", "spoken"), [("websocket", SPOKEN), ("webrtc", ())])
async def test_a_conversation(server, tmp_path, connection, spoken):
    """Greeting, spoken questions and a written one: heard, seen, captioned, and not a word in the console."""
    voices = [part for name, _ in spoken for part in (QUESTIONS / name, 17.0)]
    microphone = recording(tmp_path / "microphone.wav", 9.0, *voices, 70.0)
    async with chromium(microphone) as browser:
        page = browser.page
        await start(browser, server, f"?connection={connection}")
        await browser.watch(MOUTH)
        log = page.get_by_role("log")
        parts = [await hear_out(browser)]
        await log.get_by_text("museum").first.wait_for()
        for turns, (_, words) in enumerate(spoken, 1):
            await until(page, f"window.animacy.stats().turns >= {turns}")
            await log.get_by_text(words).first.wait_for()
            parts.append([await browser.seen()])
        await page.keyboard.press("/")
        await page.keyboard.type("What is your name?")
        await page.keyboard.press("Enter")
        await until(page, f"window.animacy.stats().turns > {len(spoken)}")
        parts.append([await browser.seen()])
        await log.get_by_text("What is your name?").first.wait_for()
        text = await log.inner_text()
        assert text.count("Iris") >= 2, text
        for part in parts:
            speaking, silent = mouth_follows_voice(part)
            assert speaking > 1.4 * silent, (speaking, silent)
            changed = np.concatenate([piece.motion for piece in part])
            assert np.mean(changed > 0) > 0.5, "the picture stands still"
        await page.get_by_role("button", name="Leave").click()
        await asyncio.sleep(1)
        assert browser.problems == []


async def test_reloading_the_page_goes_on_with_the_conversation(server):
    async with chromium() as browser:
        await start(browser, server)
        await browser.watch(MOUTH)
        await hear_out(browser, quiet=1.0)
        session = await browser.page.evaluate("window.animacy.session")
        await browser.page.reload()
        await browser.page.get_by_role("button", name="Start talking").click()
        await until(browser.page, "window.animacy.stats().shown > 24")
        assert await browser.page.evaluate("window.animacy.session") == session
        await browser.page.get_by_role("button", name="Leave").click()
        assert browser.problems == []


async def test_a_second_visitor_is_told_to_wait(server):
    async with chromium() as browser:
        await start(browser, server)
        await until(browser.page, "window.animacy.stats().shown > 24")
        async with chromium() as other:
            await start(other, server)
            await other.page.get_by_text("talking with somebody else").first.wait_for()
            await browser.page.get_by_role("button", name="Leave").click()
            # The character takes a moment to turn to somebody else.
            async with asyncio.timeout(PATIENCE):
                while await other.page.get_by_role("button", name="Try again").is_visible():
                    await other.page.get_by_role("button", name="Try again").click()
                    await asyncio.sleep(2)
            await until(other.page, "window.animacy.stats().shown > 24")
            await other.page.get_by_role("button", name="Leave").click()


@pytest.mark.parametrize(("width", "height"), [(320, 640), (844, 390), (1280, 800)])
async def test_the_page_fits(server, width, height):
    """Nothing is cut off or needs scrolling sideways, before and during a conversation."""
    async with chromium(width=width, height=height, phone=width < 900) as browser:
        page = browser.page
        await page.goto(server.url)

        async def fits() -> None:
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0
            for button in await page.get_by_role("button").all():
                if await button.is_visible():
                    box = await button.bounding_box()
                    assert box and box["x"] >= -0.5 and box["x"] + box["width"] <= width + 0.5
                    assert await button.evaluate("b => b.getAttribute('aria-label') || b.innerText.trim()")

        await fits()
        await page.get_by_role("button", name="Start talking").click()
        await until(page, "window.animacy.stats().shown > 24")
        await fits()
        await page.get_by_role("button", name="Leave").click()


async def test_the_microphone_is_refused(server):
    """Without a microphone one still talks, in writing."""
    async with chromium() as browser:
        await browser.page.add_init_script(
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
        )
        await start(browser, server)
        await browser.watch(MOUTH)
        await hear_out(browser, quiet=1.0)
        await browser.page.get_by_role("textbox").fill("What is your name?")
        await browser.page.keyboard.press("Enter")
        await until(browser.page, "window.animacy.stats().turns == 1")
        assert "Iris" in await browser.page.get_by_role("log").inner_text()
        await browser.page.get_by_role("button", name="Leave").click()
