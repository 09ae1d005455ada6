"""The same as a page."""
