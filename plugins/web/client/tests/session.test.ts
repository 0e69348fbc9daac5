import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection, ConnectionEvents } from "../src/connection";
import { type ClientMessage, CloseCode, parse, type ServerMessage } from "../src/protocol";
import { backOff, Session, type SessionState } from "../src/session";

/** The other end of a connection that needs no network. */
class Line implements Connection {
  readonly kind = "websocket";
  junk = 0;
  unsent = 0;
  readonly told: ClientMessage[] = [];
  readonly events: ConnectionEvents;
  closed = false;
  constructor(events: ConnectionEvents) {
    this.events = events;
  }
  tell(message: ClientMessage): void {
    this.told.push(message);
  }
  sendPacket(): void {}
  sendTrack(): void {}
  statistics(): Promise<null> {
    return Promise.resolve(null);
  }
  close(): void {
    this.closed = true;
  }
  say(type: string, data: Record<string, unknown>): void {
    this.events.alive();
    this.events.message(parse(JSON.stringify({ label: "animacy", type, data })) as ServerMessage);
  }
  welcome(session = "token"): void {
    this.events.opened();
    this.say("welcome", {
      session,
      resumed: false,
      character: { name: "Iris", language: "en" },
      video: { codec: "h264", codec_string: "avc1.42E01F", width: 1280, height: 720, fps: 24 },
      audio: { codec: "opus", sample_rate: 24000 },
      grace: 20,
    });
  }
}

function conversation() {
  const lines: Line[] = [];
  const states: SessionState[] = [];
  const kept = new Map<string, string>();
  const store = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
  const session = new Session(
    (events) => {
      lines.push(new Line(events));
      return lines.at(-1) as Line;
    },
    { video: ["h264"], audio: ["opus", "pcm"], about: "test" },
    {
      state: (state) => states.push(state),
      welcome: () => undefined,
      message: () => undefined,
      packet: () => undefined,
      stream: () => undefined,
    },
    store,
  );
  const line = () => lines.at(-1) as Line;
  return { session, lines, line, states: () => states.map(({ name }) => name), token: () => session.token };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", globalThis);
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("removeEventListener", () => undefined);
  return () => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  };
});

describe("a conversation", () => {
  it("begins with hello and lives from the welcome on", () => {
    const { session, line, states, token } = conversation();
    session.start();
    line().welcome();
    expect(line().told[0]).toMatchObject({ type: "hello", data: { session: null, video: ["h264"], audio: ["opus", "pcm"] } });
    expect(states()).toEqual(["connecting", "live"]);
    expect(token()).toBe("token");
  });

  it("comes back to the same session when its connection breaks", () => {
    const { session, lines, line, states } = conversation();
    session.start();
    line().welcome();
    line().events.closed({ code: 1006, reason: "" });
    expect(states()).toEqual(["connecting", "live", "reconnecting"]);
    vi.advanceTimersByTime(1000);
    expect(lines.length).toBe(2);
    line().welcome();
    expect(line().told[0]).toMatchObject({ type: "hello", data: { session: "token" } });
    expect(session.reconnects).toBe(1);
    expect(states().at(-1)).toBe("live");
  });

  it("tries again and again, but not for ever", () => {
    const { session, lines, line, states } = conversation();
    session.start();
    line().welcome();
    for (let i = 0; i < 100 && session.state.name !== "ended"; i++) {
      line().events.closed({ code: 1006, reason: "" });
      vi.advanceTimersByTime(6000);
    }
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.length).toBeLessThan(20);
    expect(states().at(-1)).toBe("ended");
    expect(session.state).toMatchObject({ reason: "lost" });
    expect(session.token).toBeNull();
  });

  it("takes a connection for dead over which nothing comes", () => {
    const { session, line } = conversation();
    session.start();
    line().welcome();
    vi.advanceTimersByTime(5000);
    expect(line().closed).toBe(false);
    vi.advanceTimersByTime(3000);
    expect(line().closed).toBe(true);
  });

  it("does not insist where somebody else talks, and may be tried again", () => {
    const { session, line, lines, states } = conversation();
    session.start();
    line().events.opened();
    line().say("refused", { reason: "busy", message: "Wait." });
    line().events.closed({ code: CloseCode.busy, reason: "busy" });
    vi.advanceTimersByTime(60_000);
    expect(session.state).toEqual({ name: "busy", message: "Wait." });
    expect(lines.length).toBe(1);
    session.start();
    line().welcome();
    expect(states().at(-1)).toBe("live");
  });

  it.each([
    [CloseCode.replaced, "replaced"],
    [CloseCode.timeLimit, "time limit"],
    [CloseCode.notThisProtocol, "version"],
    [CloseCode.ended, "ended"],
  ])("is over after close code %i", (code, reason) => {
    const { session, lines, line } = conversation();
    session.start();
    line().welcome();
    line().events.closed({ code, reason: "" });
    vi.advanceTimersByTime(60_000);
    expect(session.state).toMatchObject({ name: "ended", reason });
    expect(lines.length).toBe(1);
  });

  it("is over when the server says so, and when the user leaves", () => {
    const first = conversation();
    first.session.start();
    first.line().welcome();
    first.line().say("bye", { reason: "time limit", message: "That was it." });
    expect(first.session.state).toEqual({ name: "ended", reason: "time limit", message: "That was it." });
    const second = conversation();
    second.session.start();
    second.line().welcome();
    second.session.leave();
    expect(second.line().told.at(-1)).toMatchObject({ type: "bye" });
    expect(second.session.state).toMatchObject({ name: "ended", reason: "left" });
    expect(second.token()).toBeNull();
  });

  it("hears nothing any more of a connection that it gave up", () => {
    const { session, lines, line, states } = conversation();
    session.start();
    line().welcome();
    const old = line();
    old.events.closed({ code: 1006, reason: "" });
    vi.advanceTimersByTime(1000);
    line().welcome();
    old.say("bye", { reason: "replaced", message: "" });
    old.events.closed({ code: 4002, reason: "" });
    expect(states().at(-1)).toBe("live");
    expect(lines.length).toBe(2);
  });
});

it("waits longer from attempt to attempt, up to a bound", () => {
  expect([1, 2, 3].map((attempt) => backOff(attempt, 0.5))).toEqual([250, 500, 1000]);
  expect(backOff(50, 1)).toBe(5000);
});
