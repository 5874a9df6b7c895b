"""What everything else stands on: errors, arrays, names, files, locks, progress."""
