"""Built-in providers, each an ordinary plugin."""
