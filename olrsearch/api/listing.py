"""The images of a store, listed with what is stored of them: nothing needs to be encoded.

Notation: L labels.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from olrsearch.api.thumbnails import Thumbnails
from olrsearch.core.counted import counted
from olrsearch.core.files import write_whole
from olrsearch.core.label_values import as_json
from olrsearch.core.rows import Rows, columns_of
from olrsearch.search.page import check_page
from olrsearch.store.decision_rules import VALUE_NAMES

if TYPE_CHECKING:
    from olrsearch.api.session import HasSession
    from olrsearch.store.read.snapshot import Snapshot

_COLUMNS: Final = ("image", "id", "dataset", "partition", "identity", "width", "height")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image, and what is stored of it.

    Attributes:
        image_id: The image's stable id.
        key: The key its data set gave it.
        dataset: Name of the data set.
        uri: Where its bytes lie, relative to the data set's root.
        partition: `train`, `val` or `test`; None where nothing is said.
        identity: Who it shows; None where nothing is said.
        width: Pixels.
        height: Pixels.
        labels: The effective labels by name, `present`, `absent` or `unknown`; empty where nothing is stored.
    """

    image_id: int
    key: str
    dataset: str
    uri: str
    partition: str | None
    identity: int | str | None
    width: int
    height: int
    labels: dict[str, str]

    @property
    def present(self) -> tuple[str, ...]:
        """The labels that it has."""
        return tuple(name for name, value in self.labels.items() if value == VALUE_NAMES[1])


@dataclass(frozen=True, slots=True)
class StoredImages(Rows[StoredImage]):
    """A page of the images of a store, in the order of their ids.

    Attributes:
        images: The page asked for.
        total: How many there are in all, under the condition.
        offset: How many come before the page.
        where: The condition; None without one.
        generation: The store generation that answered.
        label_names: The labels of the store.
        several: Whether keys are of several data sets.
        notes: Why the condition selects no image.
        thumbnails: Pictures of the images, for notebooks.
    """

    ROWS: ClassVar[str] = "images"

    images: tuple[StoredImage, ...]
    total: int
    offset: int
    where: str | None
    generation: int
    label_names: tuple[str, ...]
    several: bool
    notes: tuple[str, ...] = ()

    thumbnails: Thumbnails | None = field(default=None, repr=False, compare=False)

    def _columns(self) -> list[str]:
        known = columns_of(StoredImage, "labels")
        return [*known, *(name for name in self.label_names if name not in known)]

    def _flat(self, row: StoredImage) -> dict[str, Any]:
        """An image with a column a label."""
        found: dict[str, Any] = as_json(row)
        labels = found.pop("labels")
        return found | {name: labels.get(name) for name in self.label_names if name not in found}

    def _heading(self) -> str:
        return f"{len(self)} of {counted(self.total, 'image')}" + (
            f" where {self.where}" if self.where else ""
        )

    def name(self, image: StoredImage) -> str:
        """What an image is called in questions: its key, with the data set where there are several."""
        return f"{image.dataset}/{image.key}" if self.several else image.key

    def write_csv(self, path: Path | str) -> Path:
        """Write the page as CSV: a row an image, a column a label, for a spreadsheet.

        To write labels for an import, see `Store.labels.export`.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*_COLUMNS, *self.label_names])
        for image in self.images:
            about = (
                image.image_id,
                image.dataset,
                image.partition,
                image.identity,
                image.width,
                image.height,
            )
            labels = (image.labels.get(name, "") for name in self.label_names)
            writer.writerow([self.name(image), *about, *labels])
        write_whole(Path(path), text.getvalue().encode("utf-8"))
        return Path(path)


def images(store: HasSession, where: str | None = None, k: int = 20, *, offset: int = 0) -> StoredImages:
    """The images of the store in the order of their ids, with partition, identity and stored labels.

    Args:
        where: Only images that this condition selects.
        k: Length of the page.
        offset: How many to leave out before it.

    Raises:
        EmptyStoreError: there are no images.
        QueryError: a page that cannot be.
        QuerySyntaxError: the condition does not parse, or names another column.
    """
    check_page(k, offset)
    session = store.session
    snapshot = session.living()
    ids = snapshot.image_ids() if where is None else session.select(where)
    page = ids[offset : offset + k]
    stored = snapshot.stored_labels(page)
    names = snapshot.label_names
    rows = zip(snapshot.images(page), stored.effective.tolist(), stored.known.tolist(), strict=True)
    return StoredImages(
        images=tuple(
            StoredImage(
                image_id=row.id,
                key=row.key,
                dataset=row.dataset,
                uri=row.uri,
                partition=row.partition,
                identity=row.identity,
                width=row.width,
                height=row.height,
                labels=dict(zip(names, map(VALUE_NAMES.__getitem__, values), strict=True)) if known else {},
            )
            for row, values, known in rows
        ),
        total=len(ids),
        offset=offset,
        where=where,
        generation=snapshot.generation,
        label_names=names,
        several=len(snapshot.datasets()) > 1,
        notes=() if where is None or len(ids) else _why_nothing(where, snapshot),
        thumbnails=Thumbnails(snapshot),
    )


def _why_nothing(where: str, snapshot: Snapshot) -> tuple[str, ...]:
    from olrsearch.search.filter_values import why_nothing  # seldom needed

    return why_nothing(where, snapshot)


def images_sheet(store: HasSession, found: StoredImages, path: Path | str, *, columns: int = 5) -> Path:
    """Write a contact sheet of a page of images: `.html` or `.png`.

    Args:
        found: What `images` returned.
        path: Where to.
        columns: Pictures in a row of a PNG.
    """
    from olrsearch import sheets
    from olrsearch.api.pictures import pictures

    picture = pictures(store.session, [image.image_id for image in found])
    first, last = found.offset + 1, found.offset + len(found)
    shown = f"{first:,} to {last:,} of {counted(found.total, 'image')}" if len(found) else "no image"
    page = sheets.Sheet(
        heading="images" if found.where is None else f"images where {found.where}",
        summary=f"{shown} · generation {found.generation}",
        cards=tuple(
            sheets.Card(
                title=found.name(image),
                score=" · ".join(
                    [
                        *([image.partition] if image.partition else []),
                        *([f"identity {image.identity}"] if image.identity is not None else []),
                        *([", ".join(image.present)] if image.present else []),
                    ]
                ),
                picture=picture(image.image_id),
            )
            for image in found
        ),
    )
    return sheets.write_sheet(page, path, columns=columns)
