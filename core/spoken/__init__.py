"""From what a language model writes to words that a voice can say."""
