"""Timers, their schedules, and what they run."""
