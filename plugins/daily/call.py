"""One call of Daily's native client, with its events on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from daily import CallClient, Daily, EventHandler, VideoFrame
from PIL import Image

from animacy.core.errors import AnimacyError, InputError
from animacy.core.video.contract import VideoFormat
from animacy.core.vision.contract import PictureSource
from animacy.plugins.daily.rooms import Room

LEAVE_SECONDS = 2.0
"""Nobody waits longer for a good-bye; the rest of it goes on by itself."""
READ_SECONDS = 0.02

_SOURCES: dict[PictureSource, str] = {"camera": "camera", "screen": "screenVideo"}

_initialised = threading.Lock()
_is_initialised = False


def _initialise() -> None:
    """Once a process: the native library keeps its state for good."""
    global _is_initialised
    with _initialised:
        if not _is_initialised:
            Daily.init()
            _is_initialised = True


class Call(EventHandler):
    """The character's part in a call: a camera and a microphone that are written to, and a loudspeaker that is read.

    The native client calls the `on_` methods in threads of its own.

    Parameters:
        video: size of the camera, and rate of the microphone.
        input_rate: of the loudspeaker, in Hz.
        on_message: takes what others send to the character, and the lines of a transcription.
    """

    def __new__(cls, *_: Any, **__: Any) -> Call:
        """The native base takes no arguments."""
        return super().__new__(cls)

    def __init__(self, video: VideoFormat, input_rate: int, on_message: Callable[[Any], None]) -> None:
        super().__init__()
        _initialise()
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._input_rate = input_rate
        name = uuid.uuid4().hex[:8]
        self._camera = Daily.create_camera_device(f"camera-{name}", video.width, video.height, "RGB")
        self._microphone = Daily.create_microphone_device(
            f"microphone-{name}", sample_rate=video.sample_rate, channels=1, non_blocking=True
        )
        self._speaker = Daily.create_speaker_device(
            f"speaker-{name}", sample_rate=input_rate, channels=1, non_blocking=True
        )
        Daily.select_speaker_device(f"speaker-{name}")
        self._client: CallClient | None = CallClient(event_handler=self)
        self._others: set[str] = set()
        self._pictures: dict[PictureSource, tuple[bytes, int, int]] = {}
        self._joined = self._leaving = False
        self._trouble = ""
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done when the last other has left; holds an AnimacyError when the character was put out."""

    async def join(self, room: Room, name: str, seconds: float) -> None:
        """Enter a room. Raises InputError when that fails, or takes longer than so many seconds."""
        client = self._client
        assert client is not None
        client.set_user_name(name)
        entered: asyncio.Future[str | None] = self._loop.create_future()
        devices = {"camera": self._camera.name, "microphone": self._microphone.name}
        inputs = {kind: {"isEnabled": True, "settings": {"deviceId": device}} for kind, device in devices.items()}
        client.join(
            room.url,
            room.token.get_secret_value() if room.token is not None else None,
            client_settings={"inputs": inputs},
            completion=lambda _, error: self._settle(entered, error),
        )
        try:
            async with asyncio.timeout(seconds):
                error = await entered
        except TimeoutError:
            raise InputError(
                f"Daily did not let the character into {room.url} within {seconds:g} s",
                "See the network, and transport.room.",
            ) from None
        if error:
            # The native error may hold anything, a token as well; the library logs it itself when told to.
            reason = self._trouble if self._trouble and room.token is None else ""
            raise InputError(
                f"Daily does not let the character into {room.url}" + (f": {reason}" if reason else ""),
                "See whether the room exists and has not ended, and whether it wants a token.",
            )
        self._joined = True

    def start_transcription(self) -> None:
        """Let Daily transcribe what is said; its lines come as messages."""
        if self._client is not None:
            self._client.start_transcription()

    def send(self, message: Any) -> bool:
        """Send a message to all others; False when there is nobody to take it."""
        if self._client is None or not self._others:
            return False
        self._client.send_app_message(message)
        return True

    def show(self, picture: bytes) -> None:
        """The next frame of the camera, RGB. Takes a few milliseconds."""
        self._camera.write_frame(picture)

    def say(self, pcm: bytes) -> None:
        """Sound for the microphone. Never waits."""
        self._microphone.write_frames(pcm, completion=lambda _: None)

    async def hear(self) -> bytes:
        """The next 20 ms of what the others say; nothing when there is nothing."""
        heard: asyncio.Future[bytes] = self._loop.create_future()
        self._speaker.read_frames(
            round(READ_SECONDS * self._input_rate), completion=lambda sound: self._settle(heard, sound)
        )
        sound = await heard
        if not sound:
            await asyncio.sleep(READ_SECONDS)
        return sound

    def look(self, source: PictureSource) -> Image.Image | None:
        """The newest picture of a camera or a shared screen, if there is any."""
        found = self._pictures.get(source)
        return None if found is None else Image.frombytes("RGB", (found[1], found[2]), found[0])

    async def leave(self) -> None:
        """Leave the room and let go of the native client. May be called twice."""
        client, self._client = self._client, None
        self._leaving = True
        if not self.over.done():
            self.over.set_result(None)
        if client is None:
            return
        gone: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._let_go, args=(client, gone), name="daily leave", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await gone

    def on_participant_joined(self, participant: Mapping[str, Any]) -> None:
        """Somebody came: from now on they are looked at."""
        self._call(self._welcome, str(participant["id"]))

    def on_participant_left(self, participant: Mapping[str, Any], reason: str) -> None:
        """Somebody left; with the last one the conversation ends."""
        self._call(self._miss, str(participant["id"]))

    def on_app_message(self, message: Any, sender: str) -> None:
        """Somebody sent a message."""
        self._call(self._on_message, message)

    def on_transcription_message(self, message: Mapping[str, Any]) -> None:
        """Daily understood a line."""
        data = {"text": message.get("text"), "participant": message.get("participantId")}
        self._call(self._on_message, {"label": "daily", "type": "transcription", "data": data})

    def on_call_state_updated(self, state: str) -> None:
        """The call may have ended from the other side."""
        if state == "left":
            self._call(self._put_out)

    def on_error(self, message: str) -> None:
        """Keep what the native library says went wrong."""
        self._trouble = message

    def _let_go(self, client: CallClient, gone: asyncio.Future[None]) -> None:
        """Blocks for as long as the library still tries to join, which it gives up after about twenty seconds."""
        client.leave()
        client.release()
        self._settle(gone, None)

    def _welcome(self, participant: str) -> None:
        self._others.add(participant)
        if self._client is not None:
            for source, name in _SOURCES.items():
                see = partial(self._see, source)
                self._client.set_video_renderer(participant, see, video_source=name, color_format="RGB")

    def _miss(self, participant: str) -> None:
        self._others.discard(participant)
        self._pictures.clear()
        if not self._others and not self.over.done():
            self.over.set_result(None)

    def _see(self, source: PictureSource, participant: str, frame: VideoFrame, _: str) -> None:
        self._pictures[source] = (frame.buffer, frame.width, frame.height)

    def _put_out(self) -> None:
        if self._joined and not self._leaving and not self.over.done():
            self.over.set_exception(
                AnimacyError("the character was put out of the Daily room", "See whether the room or its token ended.")
            )

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, *arguments)

    def _settle(self, future: asyncio.Future[Any], value: Any) -> None:
        self._call(_settle, future, value)


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
