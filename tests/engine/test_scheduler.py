"""When iterations happen, with whom, and what an interruption does to those under way."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from animacy.engine.audio import SpeechWindows
from animacy.engine.errors import EngineError
from animacy.engine.scheduler import Scheduler
from animacy.engine.sessions import Sessions
from tests.engine.helpers import TINY, make, picture

SAMPLES = 4000
SPEECH = (np.random.default_rng(1).standard_normal(SAMPLES) * 5000).astype(np.int16)
SILENCE = np.zeros(SAMPLES, np.int16)
IMAGE = picture(64, 64).numpy()


class Watched(Sessions):
    """Real sessions that note who spoke and who listened in each iteration."""

    def step(self, audio):
        self.steps = [*getattr(self, "steps", ()), {session: one is not None for session, one in audio.items()}]
        return super().step(audio)


@contextlib.contextmanager
def running(patience=360.0, capacity=2, networks=None, preset=TINY):
    dit, vae = networks or make(preset)
    scheduler = Scheduler(preset, lambda: Watched(preset, dit, vae, capacity=capacity), patience)
    scheduler.start()
    try:
        yield scheduler, scheduler.ready.result(20)
    finally:
        scheduler.close()


def admit(scheduler):
    return scheduler.admit(IMAGE, SpeechWindows(TINY.dit.audio, 24_000, 24, 4), seed=0).result(20)


class Viewer:
    """Asks for chunks, and keeps the frames as they come."""

    def __init__(self, scheduler, character):
        self.scheduler, self.character, self.frames = scheduler, character, {}

    def ask(self, name, pcm=SILENCE):
        def write(frames):
            self.frames[name] = frames.copy()

        return self.scheduler.request(self.character, pcm, SILENCE[:0], write)


def test_an_iteration_waits_until_all_have_asked():
    with running() as (scheduler, sessions):
        one, two = (Viewer(scheduler, admit(scheduler)) for _ in range(2))
        first = one.ask("a", SPEECH)
        assert not first.done()
        two.ask("b").result(20)
        first.result(20)
        assert sessions.steps == [{one.character.session: True, two.character.session: False}]


def test_who_does_not_ask_is_waited_for_only_so_long():
    with running(patience=0.3) as (scheduler, sessions):
        one, two = (Viewer(scheduler, admit(scheduler)) for _ in range(2))
        for k in range(3):
            one.ask(k).result(20)
        assert [len(step) for step in sessions.steps] == [1, 1, 1]
        for request in (two.ask("again"), one.ask(3)):
            request.result(20)


def test_an_interruption_gives_up_what_is_drawn_and_silences_what_waits():
    dit, vae = make(TINY)
    with running(networks=(dit, vae)) as (scheduler, sessions):
        viewer = Viewer(scheduler, admit(scheduler))
        viewer.ask("before", SPEECH).result(20)
        calls = []

        def interrupt(*_):
            calls.append(None)
            if len(calls) == 2:  # in the middle of the iteration
                scheduler.interrupt(viewer.character)

        with contextlib.closing(Hook(dit, interrupt)):
            # Both are there before the first of them is begun.
            with scheduler._changed:
                drawing, waiting = viewer.ask("drawing", SPEECH), viewer.ask("waiting", SPEECH)
            waiting.result(20)
            assert drawing.done()
        viewer.ask("after", SPEECH).result(20)
    assert list(viewer.frames) == ["before", "drawing", "waiting", "after"]
    heard = [next(iter(step.values())) for step in sessions.steps]
    # The one given up was drawn again in silence; only who asks anew is heard.
    assert heard == [True, True, False, False, True]


class Hook:
    def __init__(self, module, call):
        self.close = module.register_forward_pre_hook(call).remove


def test_who_leaves_fails_its_requests_and_frees_its_place():
    with running(capacity=1) as (scheduler, _):
        character = admit(scheduler)
        with pytest.raises(EngineError, match="all 1 sessions"):
            admit(scheduler)
        with scheduler._changed:
            waiting = Viewer(scheduler, character).ask("never")
            scheduler.release(character)
        with pytest.raises(EngineError, match="not on the engine"):
            waiting.result(20)
        with pytest.raises(EngineError, match="not on the engine"):
            Viewer(scheduler, character).ask("too late").result(20)
        Viewer(scheduler, admit(scheduler)).ask("next").result(20)


def test_an_engine_that_fails_leaves_nobody_waiting():
    dit, vae = make(TINY)
    with running(networks=(dit, vae)) as (scheduler, _):
        viewer = Viewer(scheduler, admit(scheduler))

        def fail(*_):
            raise ArithmeticError("the GPU is on fire")

        with contextlib.closing(Hook(dit, fail)):
            with pytest.raises(EngineError):
                viewer.ask("never").result(20)
            with pytest.raises(ArithmeticError, match="on fire"):
                scheduler.ended.result(20)


def test_presets_of_several_latent_frames_a_chunk():
    preset = replace(TINY, stream=replace(TINY.stream, chunk=2, window=4, sink=3))
    with running(preset=preset) as (scheduler, sessions):
        viewer = Viewer(scheduler, admit(scheduler))
        viewer.ask("long", np.concatenate([SPEECH, SILENCE])).result(20)
        assert viewer.frames["long"].shape == (8, 64, 64, 3)
        assert sessions.steps == [{viewer.character.session: True}]
