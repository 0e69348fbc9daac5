"""The conversation: Pipecat's frames through a recipe's plugins."""
