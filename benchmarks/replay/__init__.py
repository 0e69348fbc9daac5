"""A conversation as a renderer lived through it, recorded once and replayed to any renderer, without its models."""
