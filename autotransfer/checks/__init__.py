"""The checks of test_config.py."""
