"""The picture: the renderer contract, its clock, and reading portraits. Knows nothing of Pipecat."""
