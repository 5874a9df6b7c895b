"""The kinds of encoder: what opens their model folders, configures and trains them.

A kind is one entry here and a package of its own, or a plug-in: an installed distribution with an
entry point of the group `olrsearch.encoders`, called as the kind is, that names a `Kind`. Everything
is named by module and name, and imported when it is needed: torch comes in only where a model is
opened or trained.
"""

from __future__ import annotations

import difflib
import logging
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from olrsearch.core.errors import EncoderError, ModelFileError, TrainingError
from olrsearch.encoders.folder.model_config import read_config

if TYPE_CHECKING:
    from olrsearch.encoders.protocol import Encoder
    from olrsearch.encoders.trainer.config import TrainerConfig
    from olrsearch.encoders.trainer.run import Trained, TrainingImages


logger = logging.getLogger(__name__)


class Kind(NamedTuple):
    """What a kind of encoder consists of, each 'package.module:name'.

    Attributes:
        loader: A function or class that makes an encoder of a model folder.
        config: The `TrainerConfig` of its training; empty for a kind that is not trained here.
        trainer: A `Trainer`; empty for a kind that is not trained here.
    """

    loader: str
    config: str = ""
    trainer: str = ""


class Trainer(Protocol):
    """Trains an encoder and writes its model folder."""

    def __call__(
        self,
        images: TrainingImages,
        config: Any,  # noqa: ANN401 - the kind's own
        run_dir: Path,
        model_root: Path,
        *,
        source: Path | None,
        resume: bool,
        progress: bool,
    ) -> Trained:
        """Train from wherever the run stands.

        Args:
            images: What to learn from.
            config: What to train.
            run_dir: The run's folder.
            model_root: The model is written to `model_root/<fingerprint>/`.
            source: What it builds on: the run whose teacher is taken, or the model folder of the
                encoder that the configuration starts from; None where it starts anew.
            resume: Go on with the run in `run_dir`.
            progress: Show a progress bar on standard error.
        """
        ...


_GROUP = "olrsearch.encoders"

_VAE = "olrsearch.encoders.vae"


def _vae(name: str) -> Kind:
    """A variational kind, whose classes begin with a name."""
    config = f"{_VAE}.config:{name}Config"
    return Kind(f"{_VAE}.encoder:{name}Encoder", config, f"{_VAE}.training:train_vae")


def _auto_encoder(name: str) -> Kind:
    """One of the six of `encoders/atnl/`, which share their training."""
    return Kind(
        f"olrsearch.encoders.atnl.encoder:{name}Encoder",
        f"olrsearch.encoders.atnl.config:{name}Config",
        "olrsearch.encoders.atnl.training:train_auto_encoder",
    )


_KINDS = {
    "aae": _auto_encoder("Aae"),
    "acai": _auto_encoder("Acai"),
    "ae": _auto_encoder("Ae"),
    "atnl": _auto_encoder("Atnl"),
    "informed-prior": Kind(
        "olrsearch.encoders.informed_prior.encoder:InformedPriorEncoder",
        "olrsearch.encoders.informed_prior.config:InformedPriorConfig",
        "olrsearch.encoders.informed_prior.training:train_informed_prior",
    ),
    "jmvae": _vae("Jmvae"),
    "olr": Kind(
        "olrsearch.encoders.olr.encoder:OlrEncoder",
        "olrsearch.encoders.olr.config:OlrConfig",
        "olrsearch.encoders.olr.training:train_olr",
    ),
    "pse": _vae("Pse"),
    "pse-star": _vae("PseStar"),
    "scan": _vae("Scan"),
    "trelbo": _vae("Trelbo"),
    "vae": _auto_encoder("Vae"),
    "vae-tl": _auto_encoder("VaeTl"),
}


@cache
def _plugged() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=_GROUP))


def kinds() -> tuple[str, ...]:
    """The kinds of encoder that are known, sorted."""
    return tuple(sorted({*(point.name for point in _plugged()), *_KINDS}))


def _find(kind: str) -> Kind:
    """A kind of `kinds`; one of this package goes before a plug-in.

    Raises:
        EncoderError: its plug-in cannot be loaded, or several have its name.
    """
    if kind in _KINDS:
        return _KINDS[kind]
    points = [point for point in _plugged() if point.name == kind]
    homes = " and ".join(sorted(point.dist.name for point in points if point.dist is not None))
    if len(points) > 1:
        raise EncoderError(f"encoders of kind {kind!r} are offered by {homes}: uninstall all but one")
    try:
        found = points[0].load()
    except Exception as error:
        raise EncoderError(
            f"encoders of kind {kind!r} are offered by {homes}, which cannot be loaded ({error!r}): "
            f"mend {points[0].value}, or uninstall {homes}"
        ) from error
    if not isinstance(found, Kind):
        raise EncoderError(
            f"{points[0].value} of {homes} is no kind of encoder, expected a Kind: mend it, or uninstall "
            f"{homes}"
        )
    return found


def trainable() -> tuple[str, ...]:
    """The kinds of encoder that can be trained, sorted; a plug-in that cannot be loaded is a warning."""
    found = []
    for kind in kinds():
        try:
            if _find(kind).trainer:
                found.append(kind)
        except EncoderError as error:
            logger.warning("%s", error)
    return tuple(found)


def config_class(kind: str) -> type[TrainerConfig]:
    """The class of the configurations that a kind of encoder is trained with.

    Raises:
        TrainingError: no such kind can be trained.
        EncoderError: its plug-in cannot be loaded.
    """
    if kind not in kinds() or not _find(kind).trainer:
        raise TrainingError(f"no encoder of kind {kind!r} can be trained: expected {', '.join(trainable())}")
    return cast("type[TrainerConfig]", _imported(_find(kind).config))


def trainer(kind: str) -> Trainer:
    """What trains a kind of encoder of `trainable`; imports torch."""
    return cast("Trainer", _imported(_find(kind).trainer))


def load(path: Path) -> Encoder:
    """Open a model folder.

    Args:
        path: The folder that holds `config.json` and `weights.safetensors`.

    Returns:
        A `LabelEncoder` or a `PosteriorEncoder`, by the layout in its configuration.

    Raises:
        ModelFileError: missing or damaged files, or an unknown kind.
        EncoderError: its kind is a plug-in's, which cannot be loaded.
    """
    path = Path(path)
    kind = str(read_config(path)["kind"])
    if kind not in kinds():
        nearest = difflib.get_close_matches(kind, kinds(), n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else f"; known kinds: {', '.join(kinds())}"
        raise ModelFileError(f"{path} holds an encoder of unknown kind {kind!r}{hint}")
    return cast("Encoder", _imported(_find(kind).loader)(path))


def _imported(dotted: str) -> Any:  # noqa: ANN401 - a class or a function
    module, _, name = dotted.partition(":")
    return getattr(import_module(module), name)
