"""A headless Chromium driven over its DevTools protocol: no driver, no Node, so that hardly anything runs beside it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp

START_SECONDS = 30.0
CALL_SECONDS = 30.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,800",
    "--remote-debugging-port=0",
)


class Tab:
    """One page. Calls wait for Chromium's reply, at most CALL_SECONDS."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.problems: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read(), name="devtools")

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A DevTools command. Raises RuntimeError when Chromium refuses it."""
        number = next(self._numbers)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await asyncio.wait_for(reply, CALL_SECONDS)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error'].get('message')}")
        return dict(answer["result"])

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, run as if a user had just clicked. Raises RuntimeError."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details.get("text"))
        return result["result"].get("value")

    async def until(self, expression: str, within: float = 30.0) -> Any:
        """Wait until an expression is true. Raises TimeoutError."""
        async with asyncio.timeout(within):
            # What happens in the page cannot be waited for by an event here.
            while not (value := await self.evaluate(expression)):  # noqa: ASYNC110 - the page has no event to wait for
                await asyncio.sleep(0.2)
            return value

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        async for received in self._socket:
            if received.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = json.loads(received.data)
            if (waiting := self._waiting.pop(message.get("id", 0), None)) is not None:
                waiting.set_result(message)
            elif message.get("method") == "Runtime.exceptionThrown":
                self.problems.append(str(message["params"]["exceptionDetails"].get("text")))
            elif message.get("method") == "Runtime.consoleAPICalled" and message["params"]["type"] == "error":
                self.problems.append(" ".join(str(one.get("value")) for one in message["params"]["args"]))
        for reply in self._waiting.values():
            reply.set_exception(RuntimeError("Chromium is gone"))


@contextlib.asynccontextmanager
async def chromium(
    microphone: Path | None = None, before_load: str = "", more: Sequence[str] = ()
) -> AsyncIterator[Tab]:
    """Start Chromium with a recording (WAV, again and again) as its microphone.

    `before_load` is a script that runs before those of a page, `more` are further flags. Raises RuntimeError when there
    is no Chromium.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise RuntimeError("there is no Chromium (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        sound = (f"--use-file-for-fake-audio-capture={microphone}",) if microphone is not None else ()
        flags = [*FLAGS, f"--user-data-dir={profile}", *sound, *more]
        process = await asyncio.create_subprocess_exec(
            program, *flags, "about:blank", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        drained: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(START_SECONDS):
                address = await _devtools(process.stderr)
            drained = asyncio.create_task(_drain(process.stderr))
            async with aiohttp.ClientSession() as http:
                async with http.get(f"http://{address}/json/list") as listed:
                    pages = [target for target in await listed.json() if target["type"] == "page"]
                async with http.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = Tab(socket)
                    try:
                        await tab.call("Page.enable")
                        await tab.call("Runtime.enable")
                        # Not by `--use-fake-ui-for-media-stream`, which shares a made-up screen, whatever else is said.
                        await tab.call("Browser.grantPermissions", permissions=["audioCapture", "videoCapture"])
                        if before_load:
                            await tab.call("Page.addScriptToEvaluateOnNewDocument", source=before_load)
                        yield tab
                    finally:
                        await tab.close()
        finally:
            if drained is not None:
                drained.cancel()
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), 10.0)
                except TimeoutError:
                    process.kill()
                    await process.wait()


async def _devtools(errors: asyncio.StreamReader) -> str:
    """Host and port at which Chromium listens, from what it prints."""
    while line := (await errors.readline()).decode(errors="replace"):
        if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
            return found[1]
    raise RuntimeError("Chromium ended before it listened")


async def _drain(errors: asyncio.StreamReader) -> None:
    while await errors.read(65_536):
        pass
