"""`olrsearch demo`: everything once, on generated avatars."""
