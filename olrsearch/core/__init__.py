"""What everything else stands on: errors, arrays, names, files, progress."""
