"""Where an image is, as a data set says it, and its bytes.

A uri is relative to a data set's root, with `/` between folders on every system:

```
img_align_celeba/000001.jpg                             a file
img_align_celeba.zip!img_align_celeba/000001.jpg        a member of a zip, read in place
train-images-idx3-ubyte.gz#17                           an item of an idx file, as PNG bytes
cifar-100-binary/train.bin#17                           a record of CIFAR-100, as PNG bytes
cifar-100-binary.tar.gz!cifar-100-binary/train.bin#17   the same in a tar, read in place
```

Only regular files are read, and links to them: no pipes, which never end, and no devices.
All functions may be called from several threads at once; `olrsearch.datasets.containers`
keeps open what holds many images.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import contextmanager, nullcontext
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from olrsearch.core.errors import ImageDecodeError, ImageMissingError
from olrsearch.datasets import containers
from olrsearch.datasets.memory import BUDGET, SMALL_FILE
from olrsearch.datasets.regular_files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZIP_MARK = re.compile(r"\.zip!", re.IGNORECASE)
_TAR_NAME = re.compile(r"\.(?:tar(?:\.(?:gz|bz2|xz))?|tgz)\Z", re.IGNORECASE)
_TAR_MARK = re.compile(_TAR_NAME.pattern.replace(r"\Z", "!"), re.IGNORECASE)
_ITEM_MARK = re.compile(r"#([0-9]{1,10})\Z")


def read_bytes(root: Path | str, uri: str) -> bytes:
    """The bytes of an image; arguments and errors as of `image_bytes`."""
    with image_bytes(root, uri) as data:
        return data


@contextmanager
def image_bytes(root: Path | str, uri: str, *, largest: int | None = None) -> Iterator[bytes]:
    """The bytes of an image file, a zip member, or an item of an idx or record file (as PNG).

    Use and forget them within the block: what is large is read with no other large image beside it
    (`olrsearch.datasets.memory`).

    Args:
        root: The data set's root.
        uri: Relative to it. Symbolic links below the root are followed.
        largest: Bytes an image's file may have; what all images may take together, where nobody says less.

    Raises:
        ImageMissingError: The uri names nothing, cannot be read, is no file, or leads out of the root.
        ImageDecodeError: The zip member, or the file of items, is damaged; or the image's file is too large.
    """
    item = _ITEM_MARK.search(uri)
    mark = _ZIP_MARK.search(uri)
    if item is not None:
        yield _item(root, uri[: item.start()], int(item.group(1)), uri)
    elif mark is not None:
        path, member = _below(root, uri[: mark.end() - 1]), uri[mark.end() :]
        with _room_for(containers.zip_member_size(path, member), largest, uri):
            yield containers.zip_member(path, member)
    else:
        with _opened(_below(root, uri)) as file:
            size = os.fstat(file.fileno()).st_size
            with _room_for(size, largest, uri):
                yield _content(file, size, uri)


@contextmanager
def _room_for(size: int, largest: int | None, uri: str) -> Iterator[None]:
    most = BUDGET.total if largest is None else min(largest, BUDGET.total)
    if size > most:
        raise ImageDecodeError(f"{uri} has {size:,} bytes, expected an image of at most {most:,}")
    with BUDGET.all_of_it() if size > SMALL_FILE else nullcontext():
        yield


def _opened(path: Path) -> FileIO:
    try:
        return open_regular(path)
    except (OSError, ValueError) as cause:
        raise _unreadable(path, cause) from cause


def _content(file: FileIO, size: int, uri: str) -> bytes:
    """All of a file, but not much more than its size: it may grow, and what is no real file tells none."""
    most = max(size, SMALL_FILE)
    pieces: list[bytes] = []
    wanted = size + 1
    while most >= 0:
        try:
            piece = file.read(wanted)
        except OSError as cause:
            raise _unreadable(uri, cause) from cause
        if not piece:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.append(piece)
        most -= len(piece)
        wanted = 1 << 16
    raise ImageDecodeError(f"{uri} grows while it is read, expected a file that stays as it is")


def _unreadable(what: Path | str, cause: OSError | ValueError) -> ImageMissingError:
    told = cause.strerror if isinstance(cause, OSError) else cause
    return ImageMissingError(f"cannot read image {what} ({told}); restore it, or relocate the data set")


def is_tar_name(name: str) -> bool:
    """Whether a file name is a tar's whose members uris can name."""
    return _TAR_NAME.search(name) is not None


def _item(root: Path | str, file: str, number: int, uri: str) -> bytes:
    """One image of a file of items, or of such a file in a tar, as PNG."""
    mark = _TAR_MARK.search(file)
    path, member = (file, None) if mark is None else (file[: mark.end() - 1], file[mark.end() :])
    pixels = containers.item(_below(root, path), member, number, uri=uri)
    if pixels.ndim == 3:  # Pillow wants the three colours of a pixel side by side
        pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _below(root: Path | str, relative: str) -> Path:
    """`root/relative`, refused where the relative part leads out of the root by its name."""
    path = PurePosixPath(relative)
    if (
        not relative
        or "\0" in relative
        or path.is_absolute()
        or ".." in path.parts
        or Path(relative).is_absolute()
    ):
        raise ImageMissingError(f"{relative!r} is no path below the data set's root {root}")
    return Path(root, relative)
