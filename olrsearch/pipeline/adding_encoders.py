"""Encoders that become spaces of a store: found by name, compared with their checksums, copied whole."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from olrsearch.core.errors import EmptyStoreError, ModelFileError
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.encoders.folder.card import read_card
from olrsearch.encoders.folder.defaults import read_defaults
from olrsearch.encoders.folder.fit_file import copy_fit, read_fit
from olrsearch.encoders.folder.sharing import whole_model
from olrsearch.encoders.olr.decoder_file import copy_decoder, has_decoder, read_decoder
from olrsearch.pipeline.known_encoders import default_encoder, find_encoder
from olrsearch.store.files import MODELS

if TYPE_CHECKING:
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import SpaceInfo


def encoder_space(backend: Backend, encoder: str | Path | None) -> SpaceInfo:
    """The space of an encoder, added to the store where it has none yet.

    Args:
        backend: The store.
        encoder: See `known_encoders.find_encoder`; when None the newest space, whatever it holds of an image,
            or the default encoder.

    Raises:
        EmptyStoreError: none is named, the store has none, and none is shipped.
        UnknownEncoderError: nothing has this name or fingerprint, or several have.
        ModelFileError: its files are damaged.
    """
    snapshot = backend.snapshot()
    if encoder is None and snapshot.spaces():
        return snapshot.space()
    entry = default_encoder(snapshot) if encoder is None else find_encoder(encoder, snapshot)
    if entry is None:
        raise EmptyStoreError(
            "the store has no encoder yet, and none is shipped with this olrsearch: run olrsearch train, "
            "or name a model folder with --encoder"
        )
    if entry.source != "store":
        name = entry.name if entry.source == "shipped" else None
        add_model(backend, entry.path, name=name)
        snapshot = backend.snapshot()
    return snapshot.space(entry.fingerprint)


def add_model(backend: Backend, path: Path, *, name: str | None = None) -> str:
    """Copy a model folder into the store as a space of its own; returns its fingerprint.

    The space has the layout of the encoder. The copy is whole, also of a model that shares tensors with
    another one. One that the store has already is left alone, and replaced where it is damaged. The
    calibration, the metric and the fit that the folder brings are taken where the space has none.

    Args:
        backend: The store, writable.
        path: The model folder.
        name: What the space's name begins with; the encoder's kind when None.

    Raises:
        ModelFileError: it is damaged.
    """
    fingerprint = check_model(path)  # before anything is copied
    config, defaults = model_config.read_config(path), read_defaults(path)
    layout = model_config.layout_of(config)
    with backend.writer() as writer:
        copy, damaged = backend.path / MODELS / fingerprint, _is_damaged(backend.path / MODELS / fingerprint)
        if damaged or not copy.exists():
            with tempfile.TemporaryDirectory() as scratch:
                whole = whole_model(path, Path(scratch) / fingerprint)
                writer.spaces.add_model(fingerprint, whole, replace=damaged)
        else:
            if read_fit(copy) is None:  # taken in by a program that knew of none
                copy_fit(path, copy)
            if not has_decoder(copy):
                copy_decoder(path, copy)
        number = writer.spaces.add(
            fingerprint=fingerprint,
            name=f"{config['kind'] if name is None else name}-{fingerprint[:8]}",
            kind=config["kind"],
            labels=tuple(config["labels"]),
            k=int(config["k"]),
            config=config,
            layout=layout,
        )
        if defaults is not None:
            info = backend.snapshot().space(fingerprint)
            if info.calibration is None:
                calibration = defaults.calibration
                writer.spaces.set_calibration(
                    number, calibration.to_dict(), label_revision=None, split=calibration.split
                )
            if info.metric is None and defaults.metric is not None:
                writer.spaces.set_metric(number, defaults.metric.to_dict())
    return fingerprint


def _is_damaged(model: Path) -> bool:
    try:
        check_model(model)
    except ModelFileError:
        return model.exists()
    return False


def check_model(path: Path) -> str:
    """The fingerprint of a model folder, after every file of it has been compared with its checksum.

    Raises:
        ModelFileError: it is damaged.
    """
    fingerprint: str = model_config.read_config(path)["fingerprint"]
    model_files.read_tensors(path)
    read_defaults(path)
    read_card(path)
    read_fit(path)
    read_decoder(path)
    return fingerprint
