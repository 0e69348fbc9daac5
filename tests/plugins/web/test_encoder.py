"""What is sent decodes to what was shown and said, at the time it belongs to."""

from __future__ import annotations

import av
import numpy as np
import pytest

from animacy.core.video.contract import VideoFormat
from animacy.plugins.web.encoder import LADDER, SoundDecoder, SoundEncoder, VideoEncoder
from animacy.plugins.web.ladder import PATIENCE, TOO_MANY, Ladder

VIDEO = VideoFormat(320, 180)


def picture(index: int):
    """A bar that moves: tells which frame it is."""
    frame = np.full((VIDEO.height, VIDEO.width, 3), (40, 90, 160), np.uint8)
    frame[:, 10 * index : 10 * index + 10] = (250, 250, 250)
    return frame


def decode(codec, packets):
    decoder = av.CodecContext.create(codec, "r")
    frames = []
    for packet in packets:
        frames += decoder.decode(av.Packet(packet.payload))
    return [*frames, *decoder.decode(None)]


@pytest.mark.parametrize("codec", ["h264", "vp8"])
@pytest.mark.parametrize("quality", [LADDER[0], LADDER[2]])
def test_every_frame_leaves_at_once_and_decodes(codec, quality):
    encoder = VideoEncoder(VIDEO, codec, quality)
    packets = []
    for index in range(24):
        new = list(encoder.encode(picture(index), index, turn=0, key=index == 12))
        assert len(new) == 1, "a frame waits for others"
        packets += new
    assert [p.key for p in packets] == [index in (0, 12) for index in range(24)]
    assert [p.pts for p in packets] == [index * 1_000_000 // 24 for index in range(24)]
    frames = [frame.to_ndarray(format="rgb24") for frame in decode(codec, packets)]
    assert len(frames) == 24
    for index, frame in enumerate(frames):
        column = frame.mean(axis=(0, 2)).argmax() / frame.shape[1] * VIDEO.width
        assert 10 * index - 3 <= column <= 10 * index + 13
        assert abs(frame[:, -20:].mean(axis=(0, 1)) - (40, 90, 160)).max() < 12, "the colours changed"


def test_a_key_frame_alone_begins_a_stream():
    """H.264 carries its parameter sets with every key frame, for who comes in the middle."""
    encoder = VideoEncoder(VIDEO)
    packets = [p for i in range(20) for p in encoder.encode(picture(i), i, 0, key=i == 10)]
    assert len(decode("h264", packets[10:])) == 10


def tone(seconds: float, rate: int = 24_000):
    return (12_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


@pytest.mark.parametrize("codec", ["opus", "pcm"])
def test_sound_is_where_its_pts_says(codec):
    """A tone that begins at 0.5 s is found there after decoding, by the packets' own times."""
    encoder = SoundEncoder(24_000, codec)
    samples = np.concatenate([np.zeros(12_000, np.int16), tone(0.5), np.zeros(6_000, np.int16)])
    packets = [
        p for at in range(0, len(samples), 1000) for p in encoder.encode(samples[at : at + 1000].tobytes(), at, 0)
    ]
    if codec == "pcm":
        heard, rate, start = np.frombuffer(b"".join(p.payload for p in packets), np.int16), 24_000, packets[0].pts / 1e6
    else:
        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.layout = 48_000, "mono"
        frames = [f.to_ndarray() for p in packets for f in decoder.decode(av.Packet(p.payload))]
        heard, rate, start = np.concatenate([f[0] for f in frames]), 48_000, packets[0].pts / 1e6
    loud = np.flatnonzero(np.abs(heard.astype(float)) > 0.2 * np.abs(heard.astype(float)).max())
    assert start + loud[0] / rate == pytest.approx(0.5, abs=0.01)
    assert start + loud[-1] / rate == pytest.approx(1.0, abs=0.015)


def test_sound_belongs_to_its_turn():
    encoder = SoundEncoder(24_000)
    turns = []
    for at in range(48):
        speaks = 12 <= at < 36
        pcm = tone(1000 / 24_000) if speaks else np.zeros(1000, np.int16)
        turns += [p.turn for p in encoder.encode(pcm.tobytes(), at * 1000, 7 if speaks else 0)]
    assert set(turns) == {0, 7}
    assert turns[0] == 0 and turns[-1] == 0
    assert turns == sorted(turns[: turns.index(7)]) + [7] * turns.count(7) + [0] * (
        len(turns) - turns.index(7) - turns.count(7)
    )


def test_a_gap_in_the_sound_keeps_the_time():
    encoder = SoundEncoder(24_000)
    before = [p.pts for p in encoder.encode(tone(0.1).tobytes(), 0, 1)]
    after = [p.pts for p in encoder.encode(tone(0.1).tobytes(), 48_000, 1)]
    assert before[0] == pytest.approx(-6_500, abs=10_000)
    assert after[0] == pytest.approx(2_000_000, abs=10_000)


def test_a_microphone_in_opus():
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoder.open()
    samples = tone(0.5, 48_000)
    heard = b""
    decoder = SoundDecoder(16_000)
    for at in range(0, len(samples) - 960, 960):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + 960], format="s16", layout="mono")
        frame.sample_rate = 48_000
        heard += b"".join(decoder.decode(bytes(packet)) for packet in encoder.encode(frame))
    got = np.frombuffer(heard, np.int16)
    assert len(got) == pytest.approx(0.5 * 16_000, rel=0.1)
    spectrum = np.abs(np.fft.rfft(got[1600:4800].astype(float)))
    assert np.argmax(spectrum) * 16_000 / 3200 == pytest.approx(440, abs=10)
    with pytest.raises(ValueError, match="not an Opus packet"):
        decoder.decode(b"\xff" * 3)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_the_ladder_goes_down_when_pictures_are_left_out_and_up_again_later():
    clock = Clock()
    ladder = Ladder(3, clock)
    assert ladder.step() == 0
    for _ in range(TOO_MANY):
        ladder.dropped()
    assert ladder.step() == 1
    assert ladder.step() == 1, "one bad moment is one step"
    clock.now += PATIENCE + 1
    assert ladder.step() == 0


def test_the_ladder_waits_longer_each_time_that_climbing_failed():
    clock = Clock()
    ladder = Ladder(2, clock)
    waits = []
    for _ in range(3):
        for _ in range(TOO_MANY):
            ladder.dropped()
        assert ladder.step() == 1
        fell = clock.now
        while ladder.step() == 1:
            clock.now += 0.5
        waits.append(clock.now - fell)
        clock.now += 1
    assert waits[0] < waits[1] < waits[2]
