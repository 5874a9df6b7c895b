"""What every kind of space can do: opened for queries, calibrated, built beside, estimated and checked.

A kind is a module whose functions are those of `SpaceKind`, and a line in `registry`.

Notation: N living images that have something in the space, L labels or words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8, I64
    from olrsearch.core.progress import Track
    from olrsearch.maths.calibration import Calibration
    from olrsearch.maths.metric import Metric
    from olrsearch.search.index.view import Images
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.write.writer import Writer


class OpenedSpace(Protocol):
    """One space of one generation, opened for queries: its parts are read when first needed."""

    @property
    def snapshot(self) -> Snapshot:
        """The generation."""

    @property
    def info(self) -> SpaceInfo:
        """The space."""

    @property
    def view(self) -> Images:
        """The images."""

    @property
    def calibration(self) -> Calibration:
        """The stored calibration; the identity where there is none."""

    def raw_scores(self, rows: I64) -> F32 | F64:
        """What the calibration turns into probabilities, of some rows: [L, len(rows)]."""

    def choose_metric(self, rows: I64, labels: I8) -> Metric | None:
        """The metric that suits some labelled images best; None where the space compares by none.

        Args:
            rows: int64 [n].
            labels: int8 [n, L], −1/0/+1.
        """

    def score_notes(self) -> tuple[str, ...]:
        """What a reader of probabilities must know."""

    def coverage_notes(self) -> tuple[str, ...]:
        """Says so where living images have nothing in the space and are not in the answer."""


class SpaceKind(Protocol):
    """What can be done with the spaces of a layout."""

    def open_space(self, snapshot: Snapshot, info: SpaceInfo) -> OpenedSpace:
        """A space opened for queries.

        Raises:
            EmptyStoreError: nothing has been encoded into the space.
            IncompatibleEncoderError: the space is of another layout.
        """

    def build(
        self, writer: Writer, snapshot: Snapshot, info: SpaceInfo, recipe: str, track: Track
    ) -> list[str]:
        """Build what queries would compute, and what a recipe adds to the exact scan.

        Args:
            writer: Of the store, which takes note of a recipe's index.
            snapshot: The generation.
            info: The space.
            recipe: A recipe of the program, or the path of a `.toml` file.
            track: Shows progress.

        Returns:
            What was built, a line each.

        Raises:
            EmptyStoreError: every image is deleted.
            IndexBuildError: there is no such recipe, or it cannot be built.
            RecallError: the recipe does not reach the recall it promises on this space.
            VectorError: what the space holds is damaged.
            FaissInstallError: no usable faiss.
            DeviceError: the recipe's device is not there, or has too little memory.
        """

    def estimate(self, info: SpaceInfo, recipe: str) -> tuple[int, int]:
        """Bytes that `build` takes, roughly: in memory and on disk, and on a device.

        Raises:
            IndexBuildError: there is no such recipe.
        """

    def keep_new(self, snapshot: Snapshot, info: SpaceInfo) -> None:
        """Keep what a first query needs of segments that are new, where that is worth it.

        Raises:
            IndexBuildError: what is kept is damaged, or cannot be made.
            OSError: the folder of indexes cannot be written to.
        """

    def kept(self, info: SpaceInfo) -> str:
        """How the space is scanned and what is kept for it, for people."""

    def unused(self, info: SpaceInfo) -> dict[str, str]:
        """Indexes of older programs that are no longer searched: why, by name.

        Raises:
            IndexBuildError: what the metadata say of an index is damaged, or not what its folder says.
        """

    def check(self, info: SpaceInfo) -> None:
        """Whether what was derived for the space is what it should be.

        What is wrong with the model or the segments themselves is passed over: others report it.

        Raises:
            IndexBuildError, StoreCorruptError, VectorError: something is damaged, or not of its segment.
        """
