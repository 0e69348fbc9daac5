/** A microphone, camera or screen: whether it may be used, and whether it is. */

export type DeviceState =
  /** Nobody was asked yet. */
  | "unasked"
  /** The browser is asking. */
  | "asking"
  | "on"
  | "off"
  /** The user, or the browser's settings, said no. */
  | "denied"
  /** There is none, or another program has it. */
  | "missing"
  /** The browser has no such thing, or gives it only to pages that come over https. */
  | "unsupported";

/** Why a device could not be opened. */
export function failure(error: unknown): DeviceState {
  const name = error instanceof DOMException ? error.name : "";
  return name === "NotAllowedError" || name === "SecurityError" ? "denied" : "missing";
}

/** Whether the browser would give the device without asking, or never. */
export async function permission(name: "microphone" | "camera"): Promise<PermissionState> {
  try {
    return (await navigator.permissions.query({ name })).state;
  } catch {
    return "prompt"; // browsers that do not tell
  }
}

export function stopTracks(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
}
