"""Which encoders there are: shipped with the package, in a store, or in a folder somebody names.

A name is looked for in this order: a model folder, a space of the store, a shipped encoder,
the beginning of a fingerprint. Nothing here loads a network or changes a store.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olrsearch.core.errors import UnknownEncoderError
from olrsearch.encoders.folder.card import read_card
from olrsearch.encoders.folder.defaults import read_defaults
from olrsearch.encoders.folder.model_config import CONFIG_NAME, read_config
from olrsearch.encoders.folder.shipped import (
    DEFAULT,
    EncoderEntry,
    read_entry,
    shipped_encoder,
    shipped_encoders,
)
from olrsearch.encoders.olr.decoder_file import decoder_facts
from olrsearch.maths.metric import metric_name

if TYPE_CHECKING:
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo

_BESIDE = ("fingerprint", "format_version", "labels", "tensors")
"""Keys of a configuration that are no setting."""


def list_encoders(snapshot: Snapshot | None = None) -> tuple[EncoderEntry, ...]:
    """Shipped encoders by name, then the store's, oldest first.

    Args:
        snapshot: The store's; None for the shipped ones alone.

    Raises:
        ModelFileError: a model folder is damaged.
    """
    spaces = () if snapshot is None else snapshot.spaces()
    shipped = shipped_encoders()
    if not spaces:
        return shipped
    newest = spaces[-1].fingerprint
    return (
        *(dataclasses.replace(entry, default=False) for entry in shipped),
        *(_of_space(space, default=space.fingerprint == newest) for space in spaces),
    )


def default_encoder(snapshot: Snapshot | None = None) -> EncoderEntry | None:
    """What `encode` uses when none is named: the newest of the store, else the shipped default.

    The newest of either layout: whoever trained an encoder last means it.

    Args:
        snapshot: The store's; None where there is no store.

    Returns:
        None where the store has none, and none is shipped.

    Raises:
        ModelFileError: its model folder is damaged.
    """
    if snapshot is not None and snapshot.spaces():
        return _of_space(snapshot.space(), default=True)
    return shipped_encoder(DEFAULT)


def find_encoder(name: str | Path, snapshot: Snapshot | None = None) -> EncoderEntry:
    """An encoder by name.

    Args:
        name: A model folder, a space's name, a shipped encoder's, or the beginning of a fingerprint.
        snapshot: The store's; None where there is no store.

    Raises:
        UnknownEncoderError: nothing has this name or fingerprint, or several have.
        ModelFileError: its model folder is damaged.
    """
    folder = Path(name)
    if (folder / CONFIG_NAME).is_file():
        return read_entry(folder, name=folder.resolve().name, source="folder")
    wanted = str(name)
    spaces = [] if snapshot is None else snapshot.spaces()
    newest = spaces[-1].fingerprint if spaces else None
    named = [space for space in spaces if space.name == wanted]
    if not named and (shipped := shipped_encoder(wanted)) is not None:
        return dataclasses.replace(shipped, default=shipped.default and not spaces)
    # Of a shipped encoder that the store has too, the store's space is meant: one fingerprint, one encoder.
    begun = {space.fingerprint: space for space in spaces if space.fingerprint.startswith(wanted.lower())}
    found = named[-1:] or (list(begun.values()) if wanted else [])
    if len(found) == 1:
        return _of_space(found[0], default=found[0].fingerprint == newest)
    others = [
        entry
        for entry in shipped_encoders()
        if wanted and entry.fingerprint.startswith(wanted.lower()) and entry.fingerprint not in begun
    ]
    if len(found) + len(others) == 1:
        return dataclasses.replace(others[0], default=others[0].default and not spaces)
    in_store = ", ".join(f"{space.name} ({space.fingerprint[:12]})" for space in spaces) or "none"
    in_package = ", ".join(entry.name for entry in shipped_encoders()) or "none"
    how_many = "several encoders have" if found or others else "no encoder has"
    raise UnknownEncoderError(
        f"{how_many} the name or fingerprint {wanted!r}; the store has {in_store}, shipped with olrsearch: "
        f"{in_package}; or name a model folder"
    )


def encoder_details(entry: EncoderEntry) -> dict[str, Any]:
    """Everything its files say about an encoder, JSON-ready.

    The keys of the entry, and

    * `settings`: its configuration, without labels and tensors;
    * `calibration`, `metric`: what it brings for new stores, in words; null where it brings nothing,
      and encoders of posteriors have no metric to bring;
    * `decoder`: what the decoder beside it says of itself; null where it has none;
    * `card`: the keys of `folder.card.ModelCard`; null where it has no card.

    Raises:
        ModelFileError: a file is damaged.
    """
    config = read_config(entry.path)
    defaults = read_defaults(entry.path)
    metric = None if defaults is None else defaults.metric
    return {
        **entry.to_dict(),
        "settings": {key: value for key, value in config.items() if key not in _BESIDE},
        "calibration": None if defaults is None else defaults.calibration.split,
        "metric": None if metric is None else metric_name(metric.kind, metric.form),
        "decoder": decoder_facts(entry.path),
        "card": read_card(entry.path),
    }


def _of_space(space: SpaceInfo, *, default: bool) -> EncoderEntry:
    return read_entry(space.model_path, name=space.name, source="store", default=default)
