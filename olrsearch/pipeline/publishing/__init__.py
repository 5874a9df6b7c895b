"""A space becomes a folder that others can use."""
