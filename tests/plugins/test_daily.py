"""The real native client, as far as it goes without its service, and the REST calls against a local server."""

from __future__ import annotations

import asyncio
from uuid import UUID

import numpy as np
import pytest
from pipecat.frames.frames import InputTransportMessageFrame, OutputTransportReadyFrame
from pipecat.tests.utils import SleepFrame, run_test
from pydantic import ValidationError

from animacy.core.errors import AnimacyError, InputError
from animacy.core.pipeline.frames import CharacterChunkFrame
from animacy.core.pipeline.transport import LiveTransport
from animacy.core.provider import CharacterContext
from animacy.core.video.contract import RenderedChunk, VideoFormat
from animacy.plugins.daily import DailySettings, transport_providers
from animacy.plugins.daily.call import Call
from animacy.plugins.daily.rooms import Rooms
from animacy.plugins.daily.transport import _Ears, _Stage
from tests.wire.daily import daily_server
from tests.wire.server import Refusal

KEY = "daily-secret"
SOMEBODY, SOMEBODY_ELSE = str(UUID(int=1)), str(UUID(int=2))
VIDEO = VideoFormat(320, 240, 24, 24_000)


def transport(**settings):
    return transport_providers().create(DailySettings(**settings), CharacterContext("Iris"))


def rooms(server, **settings):
    return Rooms(DailySettings(api_key=KEY, base_url=server.url, **settings), "Iris")


async def test_a_room_is_made_with_a_token_and_removed():
    async with daily_server() as server:
        maker = rooms(server)
        room = await maker.take()
        assert room.made and room.name == "made" and room.token.get_secret_value() == "token-secret"
        (made, of_room), (token, of_token) = server.asked
        assert (made, token) == ("rooms", "meeting-tokens") and of_room["eject_at_room_exp"]
        assert of_token["room_name"] == "made" and of_token["user_name"] == "Iris" and of_token["is_owner"]
        assert "secret" not in repr(room)
        await maker.remove(room)
        assert not server.rooms
        kept = await rooms(server, room="https://iris.daily.co/hall").take()
        assert not kept.made and kept.token is not None


@pytest.mark.parametrize(
    ("refusal", "key", "message"),
    [
        (None, "wrong", "Daily does not accept the key\n  set the variable that transport.api_key names"),
        (
            Refusal(429, {"Retry-After": "7"}, "slow"),
            KEY,
            "Daily has had too many requests\n  wait 7 s, as it asks, or raise the account's limit",
        ),
        (
            Refusal(400, body='{"info": "no such property"}'),
            KEY,
            'Daily does not take the settings: {"info": "no such property"}\n  correct the recipe\'s transport section',
        ),
        ("malformed", KEY, "the connection to Daily broke: its answer cannot be read"),
    ],
)
async def test_what_the_rest_api_refuses_is_told(refusal, key, message):
    async with daily_server() as server:
        server.malformed = refusal == "malformed"
        server.refusal = refusal if isinstance(refusal, Refusal) else None
        with pytest.raises(AnimacyError) as raised:
            await transport(api_key=key, base_url=server.url).open(VIDEO)
        assert str(raised.value).startswith(message) and KEY not in str(raised.value)


async def test_an_api_that_is_not_there():
    with pytest.raises(AnimacyError, match=r"Daily cannot be reached at http://127\.0\.0\.1:9"):
        await transport(api_key=KEY, base_url="http://127.0.0.1:9").open(VIDEO)


async def test_a_failed_join_ends_clearly_and_leaves_no_room_behind():
    async with daily_server() as server:
        live = transport(api_key=KEY, base_url=server.url, join_seconds=1.0)
        assert isinstance(live, LiveTransport)
        with pytest.raises(InputError) as raised:
            await live.open(VIDEO)
        assert "let the character into http://127.0.0.1" in str(raised.value) and "secret" not in str(raised.value)
        await live.close()
        await live.close()
        assert not server.rooms


class CountingCall(Call):
    """Counts what its native devices took."""

    pictures = samples = 0

    def show(self, picture):
        super().show(picture)
        self.pictures += 1

    def say(self, pcm):
        super().say(pcm)
        self.samples += len(pcm) // 2


@pytest.fixture
async def call():
    made = CountingCall(VIDEO, 16_000, lambda _: None)
    yield made
    await made.leave()


async def test_pictures_and_sound_go_to_the_native_devices(call):
    frame = np.full((VIDEO.height, VIDEO.width, 3), 200, np.uint8)
    chunks = [CharacterChunkFrame(RenderedChunk(i, [frame], bytes(2000), 1)) for i in range(5)]
    _, up = await run_test(_Stage(call, VIDEO), frames_to_send=[f for c in chunks for f in (c, SleepFrame(0.04))])
    assert any(isinstance(sent, OutputTransportReadyFrame) for sent in up)
    assert (call.pictures, call.samples) == (5, 5000)


async def test_messages_and_lines_reach_the_pipeline():
    ears = _Ears(16_000)
    call = Call(VIDEO, 16_000, ears.take_message)
    ears.listen_to(call)
    await asyncio.to_thread(call.on_app_message, {"label": "rtvi-ai", "type": "send-text"}, "somebody")
    await asyncio.to_thread(call.on_app_message, "no object", "somebody")
    await asyncio.to_thread(call.on_transcription_message, {"text": "Hello", "participantId": "p"})
    down, _ = await run_test(ears, frames_to_send=[SleepFrame(0.3)])
    told = [frame.message for frame in down if isinstance(frame, InputTransportMessageFrame)]
    assert [message["type"] for message in told] == ["send-text", "transcription"]
    assert told[1]["data"] == {"text": "Hello", "participant": "p"}
    await call.leave()


async def test_it_ends_when_the_last_other_leaves(call):
    for event in (call.on_participant_joined, lambda one: call.on_participant_left(one, "leftCall")):
        for name in SOMEBODY, SOMEBODY_ELSE:
            assert not call.over.done()
            await asyncio.to_thread(event, {"id": name})
            await asyncio.sleep(0)
    await asyncio.wait_for(call.over, 1)


async def test_being_put_out_is_an_error(call):
    call.on_call_state_updated("left")
    await asyncio.sleep(0.01)
    assert not call.over.done()  # it was never in
    call._joined = True
    await asyncio.to_thread(call.on_call_state_updated, "left")
    with pytest.raises(AnimacyError, match="put out of the Daily room"):
        await asyncio.wait_for(call.over, 1)


def test_it_needs_a_room_or_a_key():
    with pytest.raises(ValidationError, match="needs `room`, or an `api_key`"):
        DailySettings()
    assert KEY not in repr(DailySettings(api_key=KEY, token=KEY))
