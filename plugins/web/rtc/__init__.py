"""The second way to the browser: WebRTC, on Pipecat's SmallWebRTC connection. Needs the extra `webrtc`."""
