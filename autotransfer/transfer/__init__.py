"""Tasks: submitted, watched, ended."""
