"""The public face: `Store` and its parts."""
