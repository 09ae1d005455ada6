"""Decides what to send."""
