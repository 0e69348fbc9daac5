"""The whole loop in real time, beside stock Pipecat with the same models."""
