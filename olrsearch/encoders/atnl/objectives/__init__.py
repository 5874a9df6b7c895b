"""What each of the six auto-encoders minimises, a page each."""
