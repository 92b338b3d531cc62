"""What every room needs and what knows none of them: files, progress, the extras."""
