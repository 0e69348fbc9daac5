"""Who has the word: interruptions, backchannels, echoes and silences."""
