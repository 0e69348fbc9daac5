"""The GPU video engine."""
