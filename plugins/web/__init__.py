"""Live in the browser: a page, a WebSocket and WebRTC, served from this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from animacy.core.hookspecs import hookimpl
from animacy.core.provider import CharacterContext, Provider, Settings


class WebSettings(Settings):
    """What a recipe may say beside `plugin: web`; `animacy run --host --port` overrides the first two."""

    host: Annotated[str, Field(description="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port of the page; 0 takes any free one.")] = 7860
    grace: Annotated[
        float, Field(ge=0, le=300, description="Seconds a visitor may lose the connection and still go on.")
    ] = 20.0
    connection: Annotated[
        Literal["websocket", "webrtc"], Field(description="What the page uses unless its address says otherwise.")
    ] = "websocket"
    ice_servers: Annotated[
        tuple[str, ...], Field(max_length=8, description="STUN and TURN addresses for WebRTC across networks.")
    ] = ()
    origins: Annotated[
        tuple[str, ...],
        Field(max_length=32, description='Other sites whose pages may connect, such as "https://example.org".'),
    ] = ()


def _create(settings: WebSettings, context: CharacterContext) -> object:
    from animacy.plugins.web.server import WebServer

    return WebServer(settings, context)


@hookimpl
def transport_providers() -> Provider:
    """The `web` transport."""
    return Provider("web", WebSettings, _create, summary="A page to talk to the character: WebSocket or WebRTC")
