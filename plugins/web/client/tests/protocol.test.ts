import { describe, expect, it } from "vitest";
import { Kind, message, type Packet, pack, parse, rtviMessage, unpack } from "../src/protocol";

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16)).buffer;
const hex = (data: ArrayBuffer) => [...new Uint8Array(data)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const said = (type: string, data: unknown) => parse(JSON.stringify({ label: "animacy", type, data }));

const WELCOME = {
  session: "abc",
  resumed: false,
  character: { name: "Iris", language: "en" },
  video: { codec: "h264", codec_string: "avc1.42E01F", width: 1280, height: 720, fps: 24 },
  audio: { codec: "opus", sample_rate: 24000 },
  grace: 20,
};

describe("binary messages", () => {
  const packet: Packet = {
    kind: Kind.video,
    key: true,
    turn: 0x0203,
    sequence: 0x04050607,
    pts: 1_000_000,
    payload: Uint8Array.of(0xaa, 0xbb),
  };

  it("have the documented header", () => {
    expect(hex(pack(packet))).toBe("010103020706050440420f0000000000aabb");
  });

  it("come back as they were packed", () => {
    for (const pts of [0, -5, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      expect(unpack(pack({ ...packet, pts, key: false, sequence: 0xffffffff }))).toEqual({
        ...packet,
        pts,
        key: false,
        sequence: 0xffffffff,
      });
    }
  });

  it("count turns modulo 65536", () => {
    expect(unpack(pack({ ...packet, turn: 65_537 }))?.turn).toBe(1);
  });

  it("without header, of unknown kind or at an absurd time are refused", () => {
    expect(unpack(new ArrayBuffer(0))).toBeNull();
    expect(unpack(bytes("010103020706050440420f00000000"))).toBeNull();
    expect(unpack(bytes("030103020706050440420f0000000000aa"))).toBeNull();
    expect(unpack(bytes("0101030207060504ffffffffffffff7faa"))).toBeNull();
  });
});

describe("text messages", () => {
  it("of the server are read", () => {
    expect(said("welcome", WELCOME)).toMatchObject({
      type: "welcome",
      data: { session: "abc", video: { codecString: "avc1.42E01F" }, audio: { sampleRate: 24000 } },
    });
    expect(said("flush", { turn: 3, at: 5_000_000, final: true })).toEqual({
      type: "flush",
      data: { turn: 3, at: 5_000_000, final: true },
    });
    expect(said("caption", { turn: 0, pts: 12, text: "Hello" })).toMatchObject({ data: { text: "Hello" } });
    expect(said("refused", { reason: "busy", message: "Wait." })).toMatchObject({ data: { reason: "busy" } });
    expect(said("waterfall", { index: 1, user: "Who?", turn_decision: 0.4, first_llm_token: null })).toMatchObject({
      data: { moments: { turn_decision: 0.4, first_llm_token: null, first_response_frame: null } },
    });
  });

  it("of tools, documents and looks are read", () => {
    const event = { name: "show_card", arguments: { title: "Blue" }, call: "a1" };
    expect(said("client-event", event)).toEqual({ type: "client-event", data: event });
    expect(said("page-action", { name: "click", arguments: { target: "map" }, call: "a1" })).toEqual({
      type: "page-action",
      data: { action: "click", target: "map", call: "a1" },
    });
    expect(said("sources", { sources: [{ source: "a.md", headings: ["A"], text: "b", score: 0.8 }] })).toEqual({
      type: "sources",
      data: { sources: [{ source: "a.md", headings: ["A"], text: "b" }] },
    });
    expect(said("looking", { source: "screen" })).toEqual({ type: "looking", data: { source: "screen" } });
  });

  it("of WebRTC's welcome need no codec string", () => {
    const video = { ...WELCOME.video, codec: "vp8", codec_string: undefined };
    expect(said("welcome", { ...WELCOME, video })).toMatchObject({ data: { video: { codecString: null } } });
  });

  it.each([
    ["welcome", { ...WELCOME, audio: { codec: "mp3", sample_rate: 24000 } }],
    ["welcome", { ...WELCOME, video: { ...WELCOME.video, fps: 0 } }],
    ["welcome", { ...WELCOME, session: 7 }],
    ["welcome", []],
    ["flush", { turn: "3", at: 5 }],
    ["flush", { turn: 3, at: null }],
    ["caption", { turn: 0, pts: 1 }],
    ["state", { state: "dancing" }],
    ["pong", { t: "now" }],
    ["client-event", { name: "show_card", call: "a" }],
    ["client-event", { name: "Show card!", arguments: {}, call: "a" }],
    ["page-action", { name: "remove", arguments: { target: "map" }, call: "a" }],
    ["page-action", { name: "click", arguments: {}, call: "a" }],
    ["sources", { sources: [{ source: "a.md" }] }],
    ["looking", { source: "kitchen" }],
    ["video", { codec: "h264", width: -1, height: 2, fps: 24 }],
  ])("that are malformed are refused: %s %j", (type, data) => {
    expect(said(type, data)).toBeNull();
  });

  it.each(["", "{", "null", "[]", "7", '"x"', '{"type":"state"}', '{"label":"other","type":"state"}', '{"label":"animacy"}'])(
    "that are none are refused: %s",
    (text) => {
      expect(parse(text)).toBeNull();
    },
  );

  it("of an unknown type are told from malformed ones", () => {
    expect(said("applause", {})).toBe("unknown");
    expect(said("constructor", {})).toBe("unknown");
    expect(said("__proto__", {})).toBe("unknown");
  });

  it("of RTVI come as they are, with or without data", () => {
    const text = JSON.stringify({ label: "rtvi-ai", type: "bot-ready", id: "1" });
    expect(parse(text)).toEqual({ type: "rtvi", data: { type: "bot-ready", data: {} } });
  });

  it("of the client carry their label", () => {
    expect(message("bye")).toEqual({ label: "animacy", type: "bye", data: {} });
    expect(rtviMessage("send-text", "7", { content: "Hi" })).toEqual({
      label: "rtvi-ai",
      type: "send-text",
      id: "7",
      data: { content: "Hi" },
    });
  });
});
