"""What every package uses: errors, settings, paths, times, text, files, the summary."""
