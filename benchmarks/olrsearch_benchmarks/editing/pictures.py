"""Whether edited pictures show what was asked, by a judge that has not seen the decoder.

The labels are those that the judge reads best in reconstructions: of selection images, by balanced accuracy
against the stored labels. An edit is judged against the reconstruction of the same image, not against the
image: what the decoder loses anyway is no change. Labels are added to images whose reconstruction lacks them
in the judge's eyes, and removed from those whose reconstruction has them.

Notation: L labels, G images of the gallery, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from olrsearch.core.arrays import blocks_of
from olrsearch.encoders.olr.decoder_network import DecoderNetwork, shown
from olrsearch.evaluation.metrics import finite_mean
from olrsearch.search.editing import edited
from olrsearch.search.query.edits import Edit
from olrsearch_benchmarks.editing.judge import balanced_accuracy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, I8, I64, U8, Bool
    from olrsearch.core.progress import Track
    from olrsearch.encoders.olr.decoder_file import DecoderFile
    from olrsearch.search.editing import Way
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch_benchmarks.editing.judge import Judge

LABELS: Final = 14
FEWEST: Final = 15
"""Selection images with a label, and without it, that it takes to be among them."""

IMAGES: Final = 40
"""Images that each label is added to, and removed from."""

_DECODED: Final = 128


@dataclass(frozen=True, slots=True)
class Readable:
    """How well the judge reads a label.

    Attributes:
        label: Its name.
        real: Balanced accuracy on images of the gallery, against stored labels.
        reconstructed: The same on their reconstructions.
        chosen: Whether it is among the labels that edits are measured on.
    """

    label: str
    real: float
    reconstructed: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class EditShare:
    """What became of the edits of one label, or of all.

    Attributes:
        label: Its name; `all` for the mean over labels.
        added: Share of images that the judge sees it in after it was added; NaN where no image lacked it.
        removed: Share of images that the judge does not see it in any more after it was removed.
        others: Share of the other chosen labels that read otherwise than before, over both.
        everything: The same over all other labels, those that the judge hardly reads among them.
        edits: How many edits that is.
    """

    label: str
    added: float
    removed: float
    others: float
    everything: float
    edits: int


@dataclass(frozen=True, slots=True)
class WayShares:
    """One way of editing.

    Attributes:
        name: What it is.
        total: The mean over labels.
        labels: One by one.
    """

    name: str
    total: EditShare
    labels: tuple[EditShare, ...]


class ManyPictures:
    """A decoder that decodes many embeddings at once, where the product takes one after the other.

    Rounding may differ by a level of 255 from what the product shows.

    Args:
        found: The decoder's files.
    """

    def __init__(self, found: DecoderFile) -> None:
        config = found.config
        network = DecoderNetwork(config, len(config.labels) * config.k, len(found.tensors["linear.axes"]))
        network.load_state_dict(
            {name: torch.tensor(array.astype(np.float32)) for name, array in found.tensors.items()}
        )
        self.size, self.crop, self._rescale = config.image_size, config.crop, config.rescale
        self._network = network.eval().requires_grad_(requires_grad=False)

    def decode(self, embeddings: F32) -> U8:
        """Pictures uint8 [m, H, W, 3] of embeddings float32 [m, L, k]."""
        numbers = torch.from_numpy(np.ascontiguousarray(embeddings.reshape(len(embeddings), -1)))
        with torch.inference_mode():
            found = shown(self._network(numbers), rescale=self._rescale)
            pictures: U8 = (found * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return pictures


class PictureJudge:
    """Decodes embeddings of images of a space and has them read.

    Args:
        opened: The space.
        decoder: Its decoder.
        judge: The judge.
        track: Shows progress.
    """

    def __init__(self, opened: OpenSpace, decoder: ManyPictures, judge: Judge, track: Track) -> None:
        self.opened, self.decoder, self.judge, self.track = opened, decoder, judge, track

    def decoded(self, embeddings: F32, what: str) -> F32:
        """What the judge reads in decoded embeddings float32 [m, L, k]: logits float32 [m, L]."""
        rows = np.arange(len(embeddings))
        parts = [
            self.judge.logits(self.decoder.decode(embeddings[block]))
            for block in self.track(blocks_of(rows, _DECODED), total=len(rows), what=what)
        ]
        return np.concatenate(parts)

    def embeddings(self, rows: I64) -> F32:
        """Of rows of the view, float32 [n, L, k]."""
        return np.ascontiguousarray(self.opened.view.gather_all(rows).transpose(1, 0, 2))

    def readable(
        self, selection: I64, labels: I8, gallery: I64, truth: I8, pixels: U8, *, count: int = LABELS
    ) -> tuple[tuple[Readable, ...], F32]:
        """How well the judge reads each label, and which are chosen.

        Args:
            selection: int64, rows that choose.
            labels: int8 [len(selection), L].
            gallery: int64 [G], rows that are measured.
            truth: int8 [G, L].
            pixels: uint8 [G, H, W, 3], the gallery's images as they are.
            count: How many labels are chosen.

        Returns:
            One a label, and what the judge reads in the gallery's reconstructions, float32 [G, L].
        """
        chosen = self._chosen(
            self.decoded(self.embeddings(selection), "decode selection images"), labels, count
        )
        read = self.decoded(self.embeddings(gallery), "decode the gallery")
        real, made = balanced_accuracy(self.judge.logits(pixels), truth), balanced_accuracy(read, truth)
        names = self.opened.info.labels
        rows = tuple(
            Readable(name, float(real[label]), float(made[label]), label in chosen)
            for label, name in enumerate(names)
        )
        return rows, read

    def shares(
        self,
        name: str,
        way: Way,
        strength: float,
        chosen: Sequence[int],
        rows: I64,
        read: F32,
        *,
        images: int = IMAGES,
        seed: int = 0,
    ) -> WayShares:
        """What becomes of edits.

        Args:
            name: What the way is called.
            way: How embeddings are edited.
            strength: Of every edit.
            chosen: Positions of the labels that are edited.
            rows: int64 [n], images of the view.
            read: float32 [n, L], what the judge reads in their reconstructions.
            images: How many images a label and side, at most.
            seed: Of the images; the same ones for every way.
        """
        found = []
        for label in chosen:
            sides = [
                self._side(way, strength, label, added, rows, read > 0, images, seed)
                for added in (True, False)
            ]
            found.append(_share(self.opened.info.labels[label], label, chosen, *sides))
        return WayShares(name, _mean(found), tuple(found))

    def _chosen(self, read: F32, labels: I8, count: int) -> set[int]:
        accuracy = balanced_accuracy(read, labels)
        enough = ((labels > 0).sum(axis=0) >= FEWEST) & ((labels < 0).sum(axis=0) >= FEWEST)
        order = np.argsort(-np.where(enough, accuracy, -1.0), kind="stable")
        return {int(label) for label in order[:count] if enough[label]}

    def _side(
        self,
        way: Way,
        strength: float,
        label: int,
        added: bool,
        rows: I64,
        read: Bool,
        images: int,
        seed: int,
    ) -> tuple[Bool, Bool]:
        """What the judge sees before and after, bool [n, L] each, of images that lack a label, or have it."""
        lacking = np.flatnonzero(read[:, label] != added)
        some = np.sort(np.random.default_rng([seed, label, int(added)]).permutation(lacking)[:images])
        if not len(some):
            return read[some], read[some]
        edit = Edit(self.opened.info.labels[label], added, strength)
        before = self.embeddings(rows[some])
        made = np.stack([edited(self.opened, one, [edit], way=way) for one in before])
        return read[some], self.decoded(made, f"decode {edit.spelling}") > 0


def _share(
    name: str, label: int, chosen: Sequence[int], added: tuple[Bool, Bool], removed: tuple[Bool, Bool]
) -> EditShare:
    before, after = (np.concatenate(parts) for parts in zip(added, removed, strict=True))
    changed = before != after
    others = [other for other in chosen if other != label]
    everything = np.delete(changed, label, axis=1)
    return EditShare(
        name,
        _rate(added[1][:, label]),
        _rate(~removed[1][:, label]),
        _rate(changed[:, others]),
        _rate(everything),
        len(before),
    )


def _mean(rows: Sequence[EditShare]) -> EditShare:
    figures = {
        field: finite_mean(getattr(row, field) for row in rows)
        for field in ("added", "removed", "others", "everything")
    }
    return replace(rows[0], label="all", edits=sum(row.edits for row in rows), **figures)


def _rate(values: Bool) -> float:
    return float(values.mean()) if values.size else float("nan")
