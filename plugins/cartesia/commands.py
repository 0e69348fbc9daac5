"""`animacy cartesia`: the voices of an account."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from animacy.core.errors import AnimacyError, InputError, PluginError

if TYPE_CHECKING:
    from cartesia import Cartesia

VARIABLE = "CARTESIA_API_KEY"

cartesia_app = typer.Typer(help="About Cartesia's voices.", no_args_is_help=True)

BaseUrl = Annotated[str, typer.Option(help="Where the server is.")]
CLOUD = "https://api.cartesia.ai"


@cartesia_app.command("voices")
def list_voices(
    query: Annotated[str, typer.Argument(help="Words of a name or description.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100)] = 20,
    base_url: BaseUrl = CLOUD,
) -> None:
    """List voices, by id, as `tts.voice` wants it."""
    with _Client(base_url) as client:
        page = client.voices.list(limit=limit, q=query) if query else client.voices.list(limit=limit)
        for voice in page.data:
            typer.echo(f"{voice.id}  {voice.language:<6} {voice.name}: {voice.description}")


@cartesia_app.command("clone")
def clone_voice(
    clip: Annotated[Path, typer.Argument(help="A recording of the voice, about five seconds long.")],
    name: Annotated[str, typer.Option(help="What the voice is called.")],
    language: Annotated[str, typer.Option(help="The language it speaks, such as en.")] = "en",
    base_url: BaseUrl = CLOUD,
) -> None:
    """Make a voice from a recording, with the consent of whoever speaks in it. Prints its id."""
    if not clip.is_file():
        raise InputError(f"there is no recording {clip}", "Give a WAV or MP3 file of about five seconds.")
    known: Any = language  # the SDK lists languages as types; the server says which it knows
    with _Client(base_url) as client:
        typer.echo(client.voices.clone(clip=clip, name=name, language=known).id)


class _Client:
    """The SDK's client, whose errors become ones that a user can mend."""

    def __init__(self, base_url: str) -> None:
        self._url = base_url.rstrip("/")

    def __enter__(self) -> Cartesia:
        key = os.environ.get(VARIABLE)
        if not key:
            raise AnimacyError(f"{VARIABLE} is not set", "Set it to a key of your Cartesia account.")
        try:
            from cartesia import Cartesia
        except ImportError as error:
            from animacy.plugins.cartesia import INSTALL

            raise PluginError(f"plugin cartesia needs the cartesia package ({error})", INSTALL) from error
        self._client = Cartesia(api_key=key, base_url=self._url, max_retries=0)
        return self._client

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._client.close()
        from cartesia import APIConnectionError, APIStatusError

        from animacy.core.pipeline.remote import refused, retry_after_of, unreachable

        if isinstance(error, APIStatusError):
            said = error.body if isinstance(error.body, dict) else {}
            detail = ": ".join(part for part in (said.get("title"), said.get("message")) if isinstance(part, str))
            if error.status_code == 401:
                raise AnimacyError("Cartesia does not accept the key", f"Set {VARIABLE} to a valid one.") from None
            raise refused(
                "Cartesia", "tts", error.status_code, detail=detail, retry_after=retry_after_of(error.response.headers)
            ) from None
        if isinstance(error, APIConnectionError):
            raise unreachable("Cartesia", "tts", self._url, error) from None
