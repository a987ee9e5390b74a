"""A site's half of a round: what it answers, and what it remembers between rounds."""
