"""Encoders by name: those that come with the package, and model folders as entries of a list.

```
olrsearch/encoders/models/<name>/
  config.json, weights.safetensors   the model, see `model_files`
  defaults.json                      calibration and metric for stores that have fitted none
  MODEL_CARD.md, card.json           what everybody who uses it must know, see `card`
```

`olrsearch encoders publish` writes such a folder. Nothing here loads a network.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from olrsearch.core import resources
from olrsearch.core.errors import ModelFileError
from olrsearch.encoders.folder.card import read_card
from olrsearch.encoders.folder.model_config import CONFIG_NAME, DECODER_NAME, layout_of, read_config

if TYPE_CHECKING:
    from olrsearch.core.arrays import Layout

DEFAULT: Final = "faces"
"""The shipped encoder that is used where a store has none and none is named."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

Source: TypeAlias = Literal["shipped", "store", "folder"]


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """An encoder that can be used, told from its files.

    Attributes:
        name: The shipped encoder's, the space's, or the folder's name.
        source: `shipped` with the package, in a `store`, or a `folder`.
        path: The model folder.
        kind: The registered kind (`olr`).
        layout: What it makes of an image: `labels` or `posterior`.
        labels: Label names, in the order of the embeddings; the words of an encoder of posteriors.
        k: Numbers a label; dimensions of posteriors.
        input_size: (H, W) of the pixels it takes.
        crop: `none` or `center`.
        bytes: Size of the folder.
        fingerprint: 64 hexadecimal digits.
        notice: What it may be used for, in a few words; empty where nobody said.
        default: Whether `encode` uses it when none is named.
        has_decoder: Whether a decoder of its label embeddings lies beside it.
    """

    name: str
    source: Source
    path: Path
    kind: str
    layout: Layout
    labels: tuple[str, ...]
    k: int
    input_size: tuple[int, int]
    crop: str
    bytes: int
    fingerprint: str
    notice: str = ""
    default: bool = False
    has_decoder: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        values = dataclasses.asdict(self)
        path = values.pop("path")
        lists = {key: list(values[key]) for key in ("labels", "input_size")}
        return {**values, **lists, "path": str(path)}


def read_entry(path: Path, *, name: str, source: Source, default: bool = False) -> EncoderEntry:
    """The entry of a model folder.

    Args:
        path: The folder.
        name: What to call it.
        source: Where it comes from.
        default: Whether it is used when none is named.

    Raises:
        ModelFileError: the folder holds no model, or its configuration or card is damaged.
    """
    path = Path(path)
    config = read_config(path)
    card = read_card(path)
    height, width = config["input_size"]
    return EncoderEntry(
        name=name,
        source=source,
        path=path,
        kind=str(config["kind"]),
        layout=layout_of(config),
        labels=tuple(config["labels"]),
        k=int(config["k"]),
        input_size=(int(height), int(width)),
        crop=str(config["crop"]),
        bytes=sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
        fingerprint=str(config["fingerprint"]),
        notice="" if card is None else str(card["terms"]["notice"]),
        default=default,
        has_decoder=(path / DECODER_NAME).is_file(),
    )


def shipped_encoders(root: Path | None = None) -> tuple[EncoderEntry, ...]:
    """The encoders that come with the package, by name.

    Args:
        root: The folder that holds them; the package's own when None.

    Raises:
        ModelFileError: one of them is damaged.
    """
    return tuple(map(_shipped, _folders(root)))


def shipped_encoder(name: str, root: Path | None = None) -> EncoderEntry | None:
    """One of the encoders that come with the package; None where none is called so.

    Args:
        name: `faces`.
        root: The folder that holds them; the package's own when None.

    Raises:
        ModelFileError: it is damaged.
    """
    return next((_shipped(path) for path in _folders(root) if path.name == name), None)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a shipped encoder: it names a folder and is typed.

    Raises:
        ModelFileError: other than small letters, digits and single hyphens, a letter first.
    """
    if not _NAME.fullmatch(name):
        raise ModelFileError(
            f"an encoder cannot be published as {name!r}: expected small letters, digits and single "
            "hyphens, a letter first, such as 'faces' or 'faces-large'"
        )


def _shipped(path: Path) -> EncoderEntry:
    return read_entry(path, name=path.name, source="shipped", default=path.name == DEFAULT)


def _folders(root: Path | None) -> list[Path]:
    home = resources.models_dir() if root is None else Path(root)
    return sorted(path.parent for path in home.glob(f"*/{CONFIG_NAME}") if _NAME.fullmatch(path.parent.name))
