"""Collections, tasks, and bytes on their way."""
