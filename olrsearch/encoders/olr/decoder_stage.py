"""Training of a decoder of label embeddings as a Lightning module.

Notation: B images in a batch, D numbers of an embedding, H × W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from olrsearch.encoders.olr.decoder_config import DecoderConfig
from olrsearch.encoders.olr.decoder_network import DecoderNetwork, shown
from olrsearch.encoders.olr.ssim import ssim
from olrsearch.encoders.trainer.data import to_planes
from olrsearch.encoders.trainer.stage import Stage

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

    from olrsearch.encoders.trainer.data import Batch


_STEP = 2
"""Of the windows of SSIM in the loss; figures look at all of them."""


class DecoderStage(Stage[DecoderConfig, DecoderNetwork]):
    """α (1 − SSIM) of the network's pictures, and (1 − α) of the squared error of these as they are shown.

    A batch holds embeddings, and their weights in the linear reconstruction, where other stages have labels.

    Source: paper 000, equation 3.

    Args:
        config: Of the run.
        network: What is trained.
    """

    score: ClassVar[str] = "selection_likeness"

    def __init__(self, config: DecoderConfig, network: DecoderNetwork) -> None:
        super().__init__(config, network, 0, config.learning_rate)
        self._found: list[tuple[Tensor, Tensor]] = []

    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `Stage.losses`; `labels` are embeddings and weights float32 [B, D + r].

        SSIM is of one colour channel a step, drawn at random: three tell little that one does not, and
        without a GPU it is SSIM that takes the time.
        """
        wanted = planes.float() / 255
        found = self._pictures(labels)
        channel = int(torch.randint(3, (1,), generator=generator))
        alike = ssim(wanted[:, channel, None], found[:, channel, None], step=_STEP)
        error = (shown(found, rescale=self.config.rescale) - wanted).square().mean(dim=(1, 2, 3))
        weight = self.config.similarity_weight
        total = weight * (1 - alike.mean()) + (1 - weight) * error.mean()
        return {"loss": total, "ssim": alike.mean(), "mse": error.mean()}

    def _pictures(self, numbers: Tensor) -> Tensor:
        """What the network makes of embeddings and their weights in the linear reconstruction."""
        rank = len(self.network.linear.bias)
        found: Tensor = self.network(numbers[:, :-rank], numbers[:, -rank:])
        return found

    def scores(self, planes: Tensor) -> Tensor:
        """Not of this stage: it validates on pictures."""
        raise NotImplementedError

    def validation_step(self, batch: Batch, _batch_idx: int) -> None:
        """Compare pictures as they are shown."""
        pixels, embeddings = batch
        wanted = to_planes(pixels).float() / 255
        found = shown(self._pictures(embeddings), rescale=self.config.rescale)
        error = (found - wanted).square().mean(dim=(1, 2, 3))
        self._found.append((ssim(wanted, found).cpu(), error.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Means over the selection images: `ssim`, `mse`, `psnr` in dB, and `likeness`, which chooses."""
        alike = torch.cat([part for part, _ in self._found]).double()
        error = torch.cat([part for _, part in self._found]).double()
        self._found.clear()
        weight = self.config.similarity_weight
        figures = {
            "likeness": 1 - weight * (1 - alike.mean()) - (1 - weight) * error.mean(),
            "ssim": alike.mean(),
            "mse": error.mean(),
            "psnr": -10 * error.clamp_min(1e-12).log10().mean(),
        }
        self.figures = {f"selection_{name}": float(value) for name, value in figures.items()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The paper's RMSProp at a constant rate, or `Stage`'s."""
        if self.config.optimiser == "adamw":
            return super().configure_optimizers()
        # Decay and ε as in Keras, which the paper's layers are called after.
        rate, parameters = self.learning_rate, self.network.parameters()
        return torch.optim.RMSprop(parameters, lr=rate, alpha=0.9, eps=1e-7)
