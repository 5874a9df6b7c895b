"""Files of a data set beside the images of the store: which are new, which have another name, which are gone.

Images are told apart by their bytes first, then by their names:

    the name and the bytes are known            nothing is to do
    the bytes are those of an image whose       a move: that image gets this name
      name is gone, or shows other bytes now
    the name is known, its bytes are new        other bytes under a key: `store.write.imports`
    neither                                     a new image

Of several images with the same bytes, a living one comes before a dead one, then one whose file had the
same name in another folder, then the smallest id. Of several files with the same bytes, the first in the
data set's order gets the image.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from olrsearch.store.values import Move

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from olrsearch.store.values import BuriedImage, KnownImage

When: TypeAlias = Literal["now", "later", "never"]


class FoundFile(NamedTuple):
    """A file as it was read."""

    key: str
    uri: str
    sha256: str


@dataclass(slots=True)
class Settlement:
    """What becomes of keys and images once every file has been read.

    Attributes:
        moves: Images that get other keys.
        living: The keys that living ones get.
        displaced: Living images whose key another image gets and whose bytes no file has.
        left: Images that move, by the keys that are theirs until now and whose files have new bytes.
        deleted: Keys of files whose images were deleted, and stay so.
    """

    moves: list[Move] = field(default_factory=list)
    living: set[str] = field(default_factory=set)
    displaced: list[int] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


class _Candidate(NamedTuple):
    id: int
    key: str
    living: bool


class Files:
    """Which files are which images.

    Args:
        known: Living images by key.
        buried: The last image of each key that no living one has.
        keys: Keys of all files; None where not all of them are looked at: then nothing has moved or is gone.
        restore: Whether deleted images come back.
    """

    def __init__(
        self,
        known: Mapping[str, KnownImage],
        buried: Mapping[str, BuriedImage],
        keys: Collection[str] | None,
        *,
        restore: bool,
    ) -> None:
        self._known = known
        self._buried = buried
        self._keys = keys
        self._restore = restore
        self._deleted = {key for key, image in buried.items() if not (image.gone or restore)}
        self._bytes = {image.sha256 for image in known.values()} | {image.sha256 for image in buried.values()}
        self.gone: dict[str, int] = (
            {} if keys is None else {key: image.id for key, image in known.items() if key not in keys}
        )

    def when(self, key: str, sha256: str) -> When:
        """Whether a file is imported as it is read, once all are read, or not at all since it was deleted."""
        known = self._known.get(key)
        if known is not None and known.sha256 == sha256:
            return "now"
        if self._keys is not None and (known is not None or sha256 in self._bytes):
            return "later"
        return "never" if key in self._deleted else "now"

    def settle(self, later: Sequence[FoundFile]) -> Settlement:
        """What becomes of files that had to wait, in the data set's order; what moves is not `gone`."""
        free = self._free({file.key for file in later})
        found = Settlement()
        moved: set[int] = set()
        occupied: list[int] = []
        for file in later:
            here = self._known.get(file.key)
            fitting = [one for one in free[file.sha256] if one.living or here is None]
            if fitting:
                name = PurePosixPath(file.key).name
                one = min(
                    fitting, key=lambda one: (not one.living, PurePosixPath(one.key).name != name, one.id)
                )
                free[file.sha256].remove(one)
                found.moves.append(Move(one.id, file.key, file.uri))
                moved.add(one.id)
                if one.living:
                    found.living.add(file.key)
                    self.gone.pop(one.key, None)
                    occupied += [] if here is None else [here.id]
                elif one.key in self._deleted:
                    found.deleted.add(file.key)
            elif file.key in self._deleted:
                found.deleted.add(file.key)
        taken = {move.key for move in found.moves}
        found.displaced = [number for number in occupied if number not in moved]
        found.left = {
            file.key: self._known[file.key].id
            for file in later
            if file.key in self._known and file.key not in taken and self._known[file.key].id in moved
        }
        return found

    def _free(self, changed: Collection[str]) -> dict[str, list[_Candidate]]:
        """Images whose names no longer show their bytes, by these bytes."""
        free: dict[str, list[_Candidate]] = defaultdict(list)
        if self._keys is None:
            return free
        for key, image in self._known.items():
            if key in self.gone or key in changed:
                free[image.sha256].append(_Candidate(image.id, key, living=True))
        for key, buried in self._buried.items():
            if key not in self._keys:
                free[buried.sha256].append(_Candidate(buried.id, key, living=False))
        return free
