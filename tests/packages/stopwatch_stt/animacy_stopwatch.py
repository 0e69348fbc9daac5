"""A third-party plugin: a speech-to-text that tells how long somebody spoke, and nothing of what they said."""

from pydantic import Field

from animacy.core import CharacterContext, Provider, Settings, hookimpl


class StopwatchSettings(Settings):
    unit: str = Field("seconds", pattern="^(seconds|milliseconds)$", description="What to count in.")


def create(settings: StopwatchSettings, context: CharacterContext):
    from pipecat.frames.frames import TranscriptionFrame
    from pipecat.services.settings import STTSettings
    from pipecat.services.stt_service import SegmentedSTTService
    from pipecat.utils.time import time_now_iso8601

    class Stopwatch(SegmentedSTTService):
        @property
        def wants_wav_segments(self) -> bool:
            return False

        async def run_stt(self, audio: bytes):
            seconds = len(audio) / 2 / self.sample_rate
            amount = round(seconds) if settings.unit == "seconds" else round(1000 * seconds)
            text = f"I spoke for {amount} {settings.unit}."
            yield TranscriptionFrame(text, "user", time_now_iso8601(), finalized=True)

    return Stopwatch(sample_rate=context.input_sample_rate, settings=STTSettings(model="stopwatch", language=None))


@hookimpl
def stt_providers():
    return Provider("stopwatch", StopwatchSettings, create, summary="Tells how long somebody spoke")
