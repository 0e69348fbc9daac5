"""How a character thinks: what its model reads, and what becomes of the words before they are heard."""
