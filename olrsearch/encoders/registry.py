"""Which class opens a model folder of which kind.

A kind names a function `(path) -> Encoder` by module and name, imported when
a model of that kind is loaded: torch comes in only then.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from olrsearch.core.errors import IncompatibleEncoderError, ModelFileError
from olrsearch.encoders.folder.model_files import layout_of, read_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.core.arrays import Layout
    from olrsearch.encoders.protocol import Encoder, LabelEncoder, PosteriorEncoder

_LOADERS: dict[str, str] = {
    "informed-prior": "olrsearch.encoders.informed_prior.encoder:load",
    "olr": "olrsearch.encoders.olr.encoder:load",
    "tiny": "olrsearch.encoders.tiny.labels:load",
    "tiny-posterior": "olrsearch.encoders.tiny.posteriors:load",
}


def kinds() -> tuple[str, ...]:
    """The kinds of encoder that can be loaded, sorted."""
    return tuple(sorted(_LOADERS))


def register(kind: str, loader: str) -> None:
    """Make a kind of encoder loadable.

    Args:
        kind: What `config.json` says.
        loader: 'package.module:function', a function from a model folder to a `LabelEncoder` or a
            `PosteriorEncoder`.

    Raises:
        ModelFileError: the kind is taken by another loader, or the loader is not so written.
    """
    if ":" not in loader:
        raise ModelFileError(f"loader {loader!r} of kind {kind!r}: expected 'package.module:function'")
    if _LOADERS.setdefault(kind, loader) != loader:
        raise ModelFileError(
            f"encoder kind {kind!r} is loaded by {_LOADERS[kind]} already; choose another name"
        )


def load(path: Path) -> Encoder:
    """Open a model folder.

    Args:
        path: The folder that holds `config.json` and `weights.safetensors`.

    Returns:
        A `LabelEncoder` or a `PosteriorEncoder`, by the layout in its configuration.

    Raises:
        ModelFileError: missing or damaged files, or a kind nobody registered.
    """
    path = Path(path)
    kind = read_config(path)["kind"]
    loader = _LOADERS.get(kind)
    if loader is None:
        nearest = difflib.get_close_matches(str(kind), _LOADERS, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else f"; known kinds: {', '.join(kinds())}"
        raise ModelFileError(f"{path} holds an encoder of unknown kind {kind!r}{hint}")
    module, _, name = loader.partition(":")
    return cast("Callable[[Path], Encoder]", getattr(import_module(module), name))(path)


def load_labels(path: Path) -> LabelEncoder:
    """Open the model folder of a label encoder.

    Raises:
        IncompatibleEncoderError: it holds a posterior encoder.
        ModelFileError: as `load`.
    """
    _require(path, "labels")
    return cast("LabelEncoder", load(path))


def load_posteriors(path: Path) -> PosteriorEncoder:
    """Open the model folder of a posterior encoder.

    Raises:
        IncompatibleEncoderError: it holds a label encoder.
        ModelFileError: as `load`.
    """
    _require(path, "posterior")
    return cast("PosteriorEncoder", load(path))


def _require(path: Path, layout: Layout) -> None:
    config = read_config(path)
    if layout_of(config) != layout:
        wanted, found = ("label", "posterior") if layout == "labels" else ("posterior", "label")
        raise IncompatibleEncoderError(
            f"{path} holds a {found} encoder (kind {config['kind']}), and this needs a {wanted} encoder: "
            "name another"
        )
