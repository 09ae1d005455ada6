"""Submits tasks and records their outcome."""
