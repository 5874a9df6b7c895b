"""Pictures of images, and contact sheets of rankings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from olrsearch.api.arguments import checked
from olrsearch.api.images_asked import Pixels, one_image
from olrsearch.core.errors import DatasetError, UnknownImageError
from olrsearch.core.files import is_file
from olrsearch.evaluation.looks.imagined import Imagined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from olrsearch.api.images_asked import Asked
    from olrsearch.api.session import HasSession, Session
    from olrsearch.search.results import Ranking
    from olrsearch.sheets.contents import Picture
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import ImageRow

EDGE: Final = 240
"""Pixels of the longer side of a sheet's pictures."""


@checked
def picture(store: HasSession, image: Asked, edge: int = EDGE) -> bytes | None:
    """A JPEG of an image, its longer side at most `edge` pixels.

    Where the file is gone its thumbnail is returned, and None where there is none.
    """
    return picture_of(store.session, image, edge)


def picture_of(session: Session, image: Asked | Pixels, edge: int = EDGE) -> bytes | None:
    """See `picture`."""
    named = one_image(image)
    from olrsearch.datasets.images import load_thumbnail, thumbnail_jpeg

    if isinstance(named, Pixels):
        return thumbnail_jpeg(named.image, edge)
    snapshot = session.snapshot()
    try:
        row = snapshot.images([snapshot.resolve(named)])[0]
    except UnknownImageError:
        if not is_file(Path(str(named))):
            raise
        path = Path(str(named)).resolve()
        return load_thumbnail(path.parent, path.name, edge)
    return picture_of_row(snapshot, row, edge)


def check_sheet(path: Path) -> None:
    """Refuse a contact sheet of a form that is not written, before anything is searched.

    Raises:
        OlrsearchError: the path ends in neither `.html` nor `.png`.
    """
    from olrsearch.sheets import sheet_form

    sheet_form(path)


def check_plot(path: Path) -> None:
    """Refuse a plot of a form that is not drawn, before anything is measured.

    Raises:
        OlrsearchError: the path does not end in `.png`.
    """
    from olrsearch import sheets

    sheets.check_plot(path)


def pictures(session: Session, ids: Iterable[int], edge: int = EDGE) -> Picture:
    """One generation and one query for all pictures of a sheet; images deleted since are still shown."""
    snapshot = session.snapshot()
    rows = {row.id: row for row in snapshot.images(ids)}
    return lambda image_id: picture_of_row(snapshot, rows[image_id], edge)


@checked
def sheet(
    store: HasSession,
    ranking: Ranking | Imagined,
    path: Path | str,
    *,
    asked: Iterable[Asked] = (),
    columns: int = 5,
) -> Path:
    """Write a contact sheet of a ranking, or of pictures that were made: `.html` or `.png`.

    Args:
        ranking: What to show.
        path: Where to.
        asked: Images the question was about, shown first.
        columns: Pictures in a row of a PNG.
    """
    from olrsearch import sheets

    session = store.session
    if isinstance(ranking, Imagined):
        from olrsearch.sheets.imagined import imagined_sheet

        near = pictures(session, {image.image_id for made in ranking.pictures for image in made.near})
        return sheets.write_sheet(imagined_sheet(ranking, near), path, columns=columns)
    question = tuple(
        sheets.Card(title=str(one_image(image)), score="asked", picture=picture_of(session, image))
        for image in asked
    )
    found = pictures(session, [hit.image_id for hit in ranking])
    return sheets.write_sheet(sheets.ranking_sheet(ranking, found, asked=question), path, columns=columns)


@checked
def write_pictures(store: HasSession, made: Imagined, folder: Path | str) -> list[Path]:
    """Write pictures that were made as PNGs of their own; their metadata say that they are made.

    Args:
        made: What `imagine` or `interpolate` returned.
        folder: Where to; made when it is not there.

    Returns:
        The paths written.

    Raises:
        OlrsearchError: the folder's path is that of a file.
    """
    from olrsearch.sheets.imagined import write_pictures

    del store
    return write_pictures(made, folder)


def picture_of_row(snapshot: Snapshot, row: ImageRow, edge: int) -> bytes | None:
    """A JPEG of an image of the store: of its file, else its thumbnail, else None."""
    from olrsearch.datasets.images import load_thumbnail

    try:
        return load_thumbnail(row.root, row.uri, edge)
    except (DatasetError, OSError):
        return snapshot.thumbnail(row.id)
