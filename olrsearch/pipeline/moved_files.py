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

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from olrsearch.store.values import Move

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

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


def _name(key: str) -> str:
    """Of a file, without folders."""
    return key.rpartition("/")[2]


class _Candidate(NamedTuple):
    id: int
    key: str
    living: bool

    @property
    def name(self) -> str:
        """Of its file, without folders."""
        return _name(self.key)


class _Free:
    """Images whose names no longer show their bytes, to be taken one after another.

    Of thousands with the same bytes each is looked at once, not for every file anew.
    """

    def __init__(self, candidates: Iterable[tuple[str, _Candidate]]) -> None:
        self._taken: set[int] = set()
        self._queues: dict[tuple[str, str | None], deque[_Candidate]] = defaultdict(deque)
        for sha256, one in sorted(candidates, key=lambda pair: (not pair[1].living, pair[1].id)):
            self._queues[sha256, None].append(one)
            self._queues[sha256, one.name].append(one)

    def take(self, file: FoundFile, *, living: bool) -> _Candidate | None:
        """The image that a file is; None where it is none of these, or, if `living`, of those that live."""
        name = _name(file.key)
        found = [one for key in (name, None) if (one := self._first(file.sha256, key)) is not None]
        fitting = [one for one in found if one.living or not living]
        if not fitting:
            return None
        one = min(fitting, key=lambda one: (not one.living, one.name != name, one.id))
        self._taken.add(one.id)
        return one

    def _first(self, sha256: str, name: str | None) -> _Candidate | None:
        queue = self._queues.get((sha256, name))
        while queue and queue[0].id in self._taken:
            queue.popleft()
        return queue[0] if queue else None


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
        free = _Free(self._free({file.key for file in later}))
        found = Settlement()
        moved: set[int] = set()
        occupied: list[int] = []
        for file in later:
            here = self._known.get(file.key)
            one = free.take(file, living=here is not None)
            if one is not None:
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

    def _free(self, changed: Collection[str]) -> Iterator[tuple[str, _Candidate]]:
        """Images whose names no longer show their bytes, beside these bytes."""
        if self._keys is None:
            return
        for key, image in self._known.items():
            if key in self.gone or key in changed:
                yield image.sha256, _Candidate(image.id, key, living=True)
        for key, buried in self._buried.items():
            if key not in self._keys:
                yield buried.sha256, _Candidate(buried.id, key, living=False)
