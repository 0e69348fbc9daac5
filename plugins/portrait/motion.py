"""The director: from what is said and what the character is doing to the pose of the next frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from animacy.core.video.contract import CharacterState
from animacy.core.video.speech_queue import Slot
from animacy.plugins.portrait.idle import Blinks, Follower, Gaze, Gesture, Wander
from animacy.plugins.portrait.pose import Mouth, Pose
from animacy.plugins.portrait.speech import CHANNELS, JAW, SoundReader, mouth_at


@dataclass(frozen=True, slots=True)
class Mood:
    """What an emotion does to the resting face."""

    smile: float = 0.0
    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_down: float = 0.0
    squint: float = 0.0
    pitch: float = 0.0


MOODS = {
    "happy": Mood(smile=0.4, squint=0.25, brow_outer=0.15),
    "friendly": Mood(smile=0.25, squint=0.1),
    "sad": Mood(brow_inner=0.6, pitch=0.05),
    "surprised": Mood(brow_inner=0.7, brow_outer=0.8),
    "angry": Mood(brow_down=0.8, squint=0.3),
    "serious": Mood(brow_down=0.25),
    "thoughtful": Mood(brow_inner=0.2, brow_down=0.15),
}
_STATE_MOODS = {
    CharacterState.LISTENING: Mood(smile=0.08, brow_inner=0.06),
    CharacterState.THINKING: Mood(brow_inner=0.22, brow_down=0.12, squint=0.1),
    CharacterState.SPEAKING: Mood(smile=0.04),
}
_STATE_LIVELINESS = {CharacterState.LISTENING: 0.7, CharacterState.THINKING: 0.6, CharacterState.SPEAKING: 1.25}
_LEAD = 0.02
"""Seconds by which lips lead their sound: people do not notice it, the reverse they do, and easing costs as much."""
_OPENING, _CLOSING = 12.0, 14.0
"""The most a mouth channel may change per second, of its whole range."""


class Director:
    """Makes the poses, one a frame, in order. The same seed and the same speech give the same poses."""

    def __init__(self, fps: int, sample_rate: int, seed: int = 0, motion: float = 1.0, blink: bool = True) -> None:
        random = np.random.default_rng(seed)
        self._random = random
        self._dt = 1.0 / fps
        self._time = 0.0
        self._motion, self._may_blink = motion, blink
        self._sound = SoundReader(sample_rate)
        self._mouth = np.zeros(len(CHANNELS), np.float32)
        self._slow_loud = 0.0
        self._blinks, self._gaze = Blinks(random), Gaze(random)
        self._wander = [Wander(random) for _ in range(5)]
        self._nod, self._beat, self._brow = Gesture(0.75, 1.6), Gesture(0.42), Gesture(0.5)
        self._next_nod, self._last_beat = 4.0, -9.0
        self._mood = {name: Follower(0.5) for name in Mood.__dataclass_fields__}
        self._lively = Follower(0.8, 0.7)
        self._turn = [Follower(0.35) for _ in range(2)]
        self._tilt = Follower(1.2)
        self._state = CharacterState.LISTENING

    def step(self, slot: Slot, state: CharacterState, emotion: str | None) -> Pose:
        """The pose of the next frame, whose sound is in the slot."""
        dt, time = self._dt, self._time
        if state != self._state:
            self._state = state
            self._gaze.hurry(time)
        loud = self._sound.loudness(slot.heard) if slot.turn is not None else 0.0
        mouth = self._speak(slot, loud)
        self._gestures(state, loud, time)
        gaze_x, gaze_y = self._gaze.at(time, state)
        if self._gaze.jumped > 0.1 and self._random.random() < 0.4:
            self._blinks.soon(time)
        blink = self._blinks.at(time) if self._may_blink else 0.0
        lids = min(1.0, blink + (1 - blink) * max(0.0, 0.8 * gaze_y))
        lively = self._lively.step(_STATE_LIVELINESS[state], dt) * self._motion
        drift = [w.at(time) for w in self._wander]
        aside = self._tilt.step({CharacterState.THINKING: 1.0}.get(state, 0.0), dt)
        follow_x = self._turn[0].step(gaze_x, dt)
        follow_y = self._turn[1].step(gaze_y, dt)
        moods = (_STATE_MOODS[state], MOODS.get(emotion or "", Mood()))
        mood = {k: f.step(sum(getattr(m, k) for m in moods), dt) for k, f in self._mood.items()}
        brow, nod = self._brow.at(time), self._nod.at(time)
        beat = self._beat.at(time) * self._motion
        breath = 0.5 - 0.5 * np.cos(2 * np.pi * (time / 3.9 + 0.03 * drift[4]))
        pose = Pose(
            mouth=mouth,
            blink_left=lids,
            blink_right=lids,
            gaze_x=gaze_x - 0.1 * (follow_x if self._motion else 0),
            gaze_y=gaze_y,
            brow_inner=min(1.0, mood["brow_inner"] + 0.8 * brow),
            brow_outer=min(1.0, mood["brow_outer"] + brow),
            brow_down=mood["brow_down"],
            smile=mood["smile"] * (1 - 0.4 * float(self._mouth[JAW]) / 0.5),
            squint=mood["squint"],
            yaw=0.05 * lively * drift[0] + self._motion * (0.35 * follow_x),
            pitch=0.03 * lively * drift[1] + self._motion * (nod + 0.3 * follow_y + mood["pitch"]) + beat,
            roll=0.028 * lively * drift[2] + 0.03 * self._motion * aside,
            shift_x=0.012 * lively * drift[3],
            shift_y=0.006 * lively * drift[4] + 0.12 * beat,
            breath=float(breath),
        )
        self._time += dt
        return pose

    def hush(self) -> None:
        """Close the mouth with the next frame: someone interrupted, and every frame more is a face that goes on."""
        self._mouth[:] = 0

    def _speak(self, slot: Slot, loud: float) -> Mouth:
        """Move the mouth towards what the slot's sound needs, no faster than a mouth can."""
        if slot.turn is None or len(slot.heard) == 0:
            goal = np.zeros(len(CHANNELS), np.float32)
        elif slot.visemes is None:
            goal = self._sound.mouth(slot.heard, loud)
        else:
            goal = mouth_at(slot.visemes, slot.time + _LEAD)
            goal[JAW] *= 0.8 + 0.4 * loud
        change = np.clip(goal - self._mouth, -_CLOSING * self._dt, _OPENING * self._dt)
        self._mouth = self._mouth + change
        if not goal.any():  # silence: closed within two frames, whatever the shape was
            self._mouth *= np.float32(0.5 ** (self._dt * 24))
            self._mouth[self._mouth < 0.02] = 0
        return Mouth(**dict(zip(CHANNELS, map(float, self._mouth), strict=True)))

    def _gestures(self, state: CharacterState, loud: float, time: float) -> None:
        """Begin nods while listening and beats on what is stressed while speaking."""
        random = self._random
        if state is CharacterState.LISTENING and time >= self._next_nod:
            self._nod.start(time, float(random.uniform(0.02, 0.045)))
            self._next_nod = time + float(random.uniform(4.5, 11.0))
        if loud > self._slow_loud + 0.22 and loud > 0.6 and time - self._last_beat > 0.65:
            self._last_beat = time
            self._beat.start(time, float(random.uniform(0.015, 0.05)))
            if random.random() < 0.28:
                self._brow.start(time, float(random.uniform(0.25, 0.6)))
        self._slow_loud += (loud - self._slow_loud) * min(1.0, self._dt / 0.25)
