"""Recurring transfers hosted by Globus."""
