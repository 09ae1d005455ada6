"""What is recorded, in one file."""
