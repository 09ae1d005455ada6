"""Who hears how a run ended."""
