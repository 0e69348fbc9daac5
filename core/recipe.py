"""What a recipe may say: one class per section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from animacy.core.video.contract import Portrait, VideoFormat
from animacy.core.video.image import Anchors, Point

VOICE_SAMPLE_RATE = 24_000
"""Rate of the character's voice in Hz, throughout."""

LANGUAGE = re.compile(r"^[a-z]{2,3}(-[A-Z]{2})?$")


def _language(tag: str) -> str:
    if not LANGUAGE.match(tag):
        raise ValueError('must be a BCP 47 tag such as "en-US" or "de"')
    return tag


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(Section):
    """One exchange that shows how the character talks."""

    user: Annotated[str, Field(min_length=1, max_length=500, description="What somebody says to the character.")]
    character: Annotated[str, Field(min_length=1, max_length=500, description="How the character answers.")]


OPENING_WORDS = 5


def _opening(text: str) -> str:
    if len(text.split()) > OPENING_WORDS or not text.endswith((".", "!", "?", "…")):
        raise ValueError(f'must be at most {OPENING_WORDS} words that end in ".", "!" or "?"')
    return text


Opening = Annotated[str, Field(min_length=2, max_length=60), AfterValidator(_opening)]

Pixel = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]


class AnchorPoints(Section):
    """Where a face is that cannot be found automatically: [x, y] in pixels of the image, left as seen in the image."""

    left_eye: Annotated[Pixel, Field(description="Centre of the eye on the picture's left.")]
    right_eye: Annotated[Pixel, Field(description="Centre of the eye on the picture's right.")]
    mouth_left: Annotated[Pixel, Field(description="Corner of the mouth on the picture's left.")]
    mouth_right: Annotated[Pixel, Field(description="Corner of the mouth on the picture's right.")]

    @model_validator(mode="after")
    def _plausible(self) -> AnchorPoints:
        if self.left_eye[0] >= self.right_eye[0] or self.mouth_left[0] >= self.mouth_right[0]:
            raise ValueError("left and right are as seen in the picture: the left point needs the smaller x")
        return self

    def to_anchors(self) -> Anchors:
        """As the renderer wants them."""
        return Anchors(*(Point(*getattr(self, name)) for name in Anchors._fields))


class Character(Section):
    """Who it is."""

    name: Annotated[str, Field(min_length=1, max_length=80, description="What the character is called.")]
    image: Annotated[Path, Field(description="The reference picture, relative to the recipe.")]
    persona: Annotated[
        str, Field(min_length=1, max_length=4000, description="Who the character is, in the second person.")
    ]
    examples: Annotated[
        tuple[Example, ...],
        Field(max_length=12, description="A few exchanges that set the tone; two or three are best."),
    ] = ()
    openings: Annotated[
        tuple[Opening, ...],
        Field(
            max_length=12,
            description="How answers may begin, a few words each; they are spoken at once while the rest is thought.",
        ),
    ] = ()
    greeting: Annotated[
        str | None, Field(max_length=400, description="What the character says first, when somebody comes.")
    ] = None
    voice: Annotated[
        str | None, Field(max_length=120, description="A voice of the tts plugin; its default when left out.")
    ] = None
    language: Annotated[str, AfterValidator(_language), Field(description="Spoken language, a BCP 47 tag.")] = "en-US"
    anchors: Annotated[
        AnchorPoints | None, Field(description="Eyes and mouth, for pictures in which no face is found.")
    ] = None


class PluginSection(BaseModel):
    """Which plugin does a job. The other keys are the plugin's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    plugin: Annotated[str, Field(min_length=1, description="Name of the plugin; `animacy plugins` lists them.")]

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"plugin": value} if isinstance(value, str) else value

    def settings(self) -> dict[str, Any]:
        """The keys that belong to the plugin."""
        return dict(self.model_extra or {})


def _as_chain(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


LONGEST_CHAIN = 4

Chain = Annotated[tuple[PluginSection, ...], BeforeValidator(_as_chain), Field(min_length=1, max_length=LONGEST_CHAIN)]
"""One plugin, or a list of them: the next one does the work when one fails."""


class FallbackSection(Section):
    """When the next plugin of a list does the work of one that fails."""

    patience: Annotated[
        float, Field(ge=0.2, le=60, description="Seconds that a service may keep somebody waiting.")
    ] = 1.5
    retry: Annotated[
        float, Field(ge=0.5, le=3600, description="Seconds until one that failed is tried again; longer each time.")
    ] = 15.0


class VideoSection(PluginSection):
    """The picture: who draws it, and in which format."""

    plugin: Annotated[str, Field(min_length=1, description="Name of the renderer plugin.")] = "portrait"
    width: Annotated[int, Field(ge=160, le=3840, multiple_of=2, description="Width in pixels.")] = 1280
    height: Annotated[int, Field(ge=120, le=2160, multiple_of=2, description="Height in pixels.")] = 720
    fps: Annotated[int, Field(ge=10, le=60, description="Frames per second; must divide 24000.")] = 24

    @model_validator(mode="after")
    def _whole_samples(self) -> VideoSection:
        if VOICE_SAMPLE_RATE % self.fps:
            raise ValueError(f"fps must divide {VOICE_SAMPLE_RATE}: use 24, 25 or 30")
        return self

    def video_format(self) -> VideoFormat:
        """Size and rates for the renderer."""
        return VideoFormat(self.width, self.height, self.fps, VOICE_SAMPLE_RATE)


class Idle(Section):
    """What the character says when nobody has said anything for a while."""

    after: Annotated[
        float | None, Field(ge=1, le=3600, description="Seconds of silence before the next line; null for never.")
    ] = 20.0
    lines: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=400)], ...],
        Field(max_length=24, description="What it says, one line at a time; nothing when left out."),
    ] = ()
    times: Annotated[int, Field(ge=1, le=100, description="How often, until the user has said something again.")] = 2

    @property
    def seconds(self) -> float:
        """The silence before a line, 0 for never."""
        return self.after or 0.0 if self.lines else 0.0


class TurnTaking(Section):
    """Who has the word."""

    pause: Annotated[
        float, Field(ge=0.1, le=2.0, description="Seconds of silence after which the turn model is asked.")
    ] = 0.2
    longest_pause: Annotated[
        float, Field(ge=0.3, le=10.0, description="Seconds of silence that end a turn whatever the turn model says.")
    ] = 1.6
    confidence: Annotated[float, Field(ge=0.1, le=0.99, description="Voice probability that counts as speech.")] = 0.6
    start: Annotated[
        float, Field(ge=0.05, le=1.0, description="Seconds of voice that count as the start of speech.")
    ] = 0.1
    interrupt_after: Annotated[
        float,
        Field(
            ge=0.2, le=5.0, description="Seconds of voice that interrupt the character, whether words are known or not."
        ),
    ] = 0.7
    backchannels: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=60)], ...] | None,
        Field(max_length=200, description="Words that do not interrupt, instead of the language's own."),
    ] = None
    echo: Annotated[
        Literal["client", "apm"],
        Field(description="Who keeps the character's voice out of the microphone: the client, or WebRTC's APM here."),
    ] = "client"
    idle: Annotated[Idle, Field(description="What the character says into a silence.")] = Idle()


class Limits(Section):
    """Bounds on what one session may use."""

    max_duration: Annotated[float, Field(gt=0, le=86_400, description="Seconds after which a session ends.")] = 3600.0
    max_answer_tokens: Annotated[int, Field(ge=8, le=1024, description="Longest answer of the language model.")] = 80
    threads: Annotated[int, Field(ge=1, le=64, description="Compute threads a local model may use.")] = 2
    sessions: Annotated[
        int, Field(ge=1, le=1000, description="Visitors a live character talks with at the same time.")
    ] = 1


class Knowledge(PluginSection):
    """What the character knows beyond its model: documents, and who keeps them."""

    plugin: Annotated[str, Field(min_length=1, description="Name of the store plugin.")] = "chroma"
    documents: Annotated[
        tuple[Path, ...],
        Field(max_length=100, description="Text and Markdown files, or folders of them, relative to the recipe."),
    ] = ()
    embedding: PluginSection = PluginSection(plugin="minilm")
    passages: Annotated[int, Field(ge=1, le=8, description="Passages that an answer may rest on.")] = 2
    characters: Annotated[
        int,
        Field(ge=100, le=20_000, description="Of them, the sentences next to the question: at most so many letters."),
    ] = 400
    min_score: Annotated[float, Field(ge=0, le=1, description="Score below which nothing counts as found.")] = 0.25
    sure_score: Annotated[
        float, Field(ge=0, le=1, description="Score from which on the answer is taken to be in what was found.")
    ] = 0.4
    unknown: Annotated[
        str, Field(min_length=1, max_length=200, description="Said when the documents do not hold the answer.")
    ] = "I'm afraid I don't know that."


class Vision(PluginSection):
    """What the character may see, and who looks."""

    plugin: Annotated[str, Field(min_length=1, description="Name of the vision plugin.")] = "perception"
    sources: Annotated[tuple[Literal["camera", "screen"], ...], Field(description="What a visitor may show.")] = (
        "camera",
        "screen",
    )


class Recipe(Section):
    """A character, and who does each job for it."""

    character: Character
    stt: Chain = (PluginSection(plugin="whisper"),)
    llm: Chain = (PluginSection(plugin="llama"),)
    tts: Chain = (PluginSection(plugin="kokoro"),)
    video: VideoSection = VideoSection()
    transport: PluginSection = PluginSection(plugin="web")
    knowledge: Knowledge | None = None
    tools: Annotated[
        tuple[PluginSection, ...], Field(max_length=64, description="What the character can do: sources of tools.")
    ] = ()
    vision: Vision | None = None
    fallback: FallbackSection = FallbackSection()
    turn_taking: TurnTaking = TurnTaking()
    limits: Limits = Limits()

    def portrait(self, folder: Path) -> Portrait:
        """The reference picture, its path resolved against the recipe's folder."""
        anchors = self.character.anchors
        return Portrait((folder / self.character.image).resolve(), anchors.to_anchors() if anchors else None)
