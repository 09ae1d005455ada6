"""People, clients, tokens and what they were allowed."""
