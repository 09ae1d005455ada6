"""What has arrived and what has not."""
