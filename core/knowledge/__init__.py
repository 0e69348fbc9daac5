"""What a character knows: documents, found again by meaning and by word."""
