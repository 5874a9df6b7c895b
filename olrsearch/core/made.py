"""Pictures that a network made are marked wherever they are shown: nobody is to take them for found ones."""

from __future__ import annotations

from typing import Final

SHORT: Final = "made, not found"
"""What stands under a made picture."""

MADE: Final = "pictures are made, not found: nobody took them, and what they show of somebody may be wrong"
"""What stands on a page of them, and in the metadata of their files."""

KEYWORD: Final = "Comment"
"""Under which a PNG's text says so."""
