"""The live protocol's messages: what is packed comes back, what is junk is refused and never anything worse."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animacy.plugins.web.protocol import MAX_TEXT, Kind, Packet, ProtocolError, message, parse, parse_hello
from tests.conftest import ROOT

packets = st.builds(
    Packet,
    kind=st.sampled_from(Kind),
    payload=st.binary(max_size=200),
    pts=st.integers(-(2**63), 2**63 - 1),
    turn=st.integers(0, 2**16 - 1),
    sequence=st.integers(0, 2**32 - 1),
    key=st.booleans(),
)


@given(packets)
def test_what_is_packed_comes_back(packet):
    assert Packet.unpack(packet.pack()) == packet


def test_the_header_is_the_documented_one():
    packed = Packet(Kind.VIDEO, b"\xaa\xbb", pts=1_000_000, turn=0x0203, sequence=0x04050607, key=True).pack()
    assert packed.hex() == "010103020706050440420f0000000000aabb"


@given(st.binary(max_size=64))
def test_any_bytes_are_a_packet_or_refused(data):
    with contextlib.suppress(ProtocolError):
        assert Packet.unpack(data).pack()[16:] == data[16:]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(st.text(max_size=200) | json_values.map(json.dumps))
def test_any_text_is_a_message_or_refused(text):
    for reader in (parse, parse_hello):
        with contextlib.suppress(ProtocolError):
            reader(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "too long"),
        ("[" * (MAX_TEXT - 1), "not JSON"),
        ('{"label": "animacy"}', "no type"),
        ('{"label": "other", "type": "x"}', "no known label"),
        ('{"label": "animacy", "type": "x", "data": 3}', "not an object"),
    ],
)
def test_what_is_wrong_is_said(text, says):
    with pytest.raises(ProtocolError, match=says):
        parse(text)


def test_hello_must_come_first_and_be_right():
    with pytest.raises(ProtocolError, match="must be hello"):
        parse_hello(json.dumps(message("stats")))
    with pytest.raises(ProtocolError, match="microphone"):
        parse_hello(json.dumps(message("hello", microphone="mp3")))
    assert parse_hello(json.dumps(message("hello", session="s", added_later=1))).session == "s"


def test_the_documentation_names_every_message():
    """docs/protocol.md and the code agree on the types and the kinds."""
    documented = (ROOT / "docs" / "protocol.md").read_text()
    sources = [path.read_text() for path in Path(ROOT, "plugins", "web").rglob("*.py")]
    sent = {kind for source in sources for kind in re.findall(r'message\(\s*"([a-z_]+)"', source)}
    assert sent
    for kind in sent:
        assert f"`{kind}`" in documented, f"docs/protocol.md does not name {kind}"
    for kind in Kind:
        assert re.search(rf"\b{int(kind)}\b", documented)
