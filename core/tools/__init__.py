"""What a character can do: one kind of tool, whatever it comes from."""
