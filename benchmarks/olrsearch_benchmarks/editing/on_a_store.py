"""Editing measured on a store: which images train the judge, choose, and are measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.datasets.selection import selection_split
from olrsearch.encoders.olr.decoder_file import read_decoder
from olrsearch.pipeline.reading_pixels import cache_pixels
from olrsearch.search.spaces.about import stored_labels
from olrsearch_benchmarks.editing.judge import Judge, train_judge
from olrsearch_benchmarks.editing.pictures import FEWEST, ManyPictures, PictureJudge
from olrsearch_benchmarks.editing.queries import run_edited_queries
from olrsearch_benchmarks.editing.report import EditingReport, figures_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch import Store
    from olrsearch.core.arrays import F64, I8, I64, U8
    from olrsearch.core.progress import Track
    from olrsearch.search.editing import Way
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch_benchmarks.editing.pictures import Readable, WayShares

SELECTION: Final = 1000
STRENGTHS: Final = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Tried on selection images; 1 is what edits do unless told otherwise."""

PAPER: Final = (("the paper's way", 1.0), ("the paper's way, strength 1.5", 1.5))


class _Parts(NamedTuple):
    """Rows of the view by purpose, int64 each, by rising id, and stored labels int8 [N, L] of all rows."""

    train: I64
    selection: I64
    gallery: I64
    labels: I8


def run_editing(
    store: Store,
    *,
    cache: Path | None = None,
    epochs: int = 6,
    images: int = 40,
    seed: int = 0,
    space: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> EditingReport:
    """Measure edits of a space.

    Args:
        store: The store.
        cache: A folder that keeps pixels and the judge for another run.
        epochs: Of the judge's training.
        images: Images a label and side.
        seed: Of everything random.
        space: Name or fingerprint; the newest of label embeddings when None.
        say: Called with a line about what is being done.

    Raises:
        BenchmarkError: no labels, or no images of val and test.
    """
    session = store.session
    opened = session.space(space)
    parts = _parts(opened, seed)
    truth = np.ascontiguousarray(parts.labels[parts.gallery].T)
    queries = run_edited_queries(opened, parts.gallery, truth, _idf(parts), track=session.track, seed=seed)
    notes = [
        "Relevant to a query: has B, and other labels with an IDF-weighted Jaccard similarity of ½ or more.",
        "An encoder that comes with the program has seen the training images, selection images among them.",
    ]
    kept = read_decoder(opened.info.model_path)
    decoder = None if kept is None else ManyPictures(kept)
    readable: tuple[Readable, ...] = ()
    selected: tuple[WayShares, ...] = ()
    ways: tuple[WayShares, ...] = ()
    if decoder is None:
        notes.append(f"{opened.info.name} has no decoder (olrsearch train decoder): no picture is judged.")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            judging = _Judging(opened, parts, decoder, cache or Path(scratch), seed, epochs, say)
            readable, selected, ways = judging.run(session.track, images)
        if not ways:
            notes.append(f"No label has {FEWEST} selection images with it and without it: no edit is judged.")
        notes += [
            "The judge learnt from training images alone, and has seen neither encoder nor decoder.",
            "Added, removed: share of edits after which the judge sees the label, or no longer sees it.",
            "Others changed: of the other labels edited here; all others: of all labels, readable or not.",
        ]
    return EditingReport(
        protocol="P5",
        title="editing, section 4.5 of the OLR paper",
        command="olrsearch bench papers editing",
        seed=seed,
        baseline="the paper's way; similarity filtered by the asked label",
        data={
            "name": ", ".join(item.name for item in opened.snapshot.datasets()),
            "images": len(opened.view),
            "train": len(parts.train),
            "selection": len(parts.selection),
            "gallery": len(parts.gallery),
        },
        notes=tuple(notes),
        space=opened.info.name,
        figures=figures_of(queries, ways, readable, seed),
        readable=readable,
        selection=selected,
        ways=ways,
        queries=queries,
    )


class _Judging(NamedTuple):
    """What judging pictures needs."""

    opened: OpenSpace
    parts: _Parts
    decoder: ManyPictures
    folder: Path
    seed: int
    epochs: int
    say: Callable[[str], None]

    def run(
        self, track: Track, images: int
    ) -> tuple[tuple[Readable, ...], tuple[WayShares, ...], tuple[WayShares, ...]]:
        """How readable labels are, ways on selection images, and on the gallery."""
        parts = self.parts
        pixels = self._pixels()
        judge = self._judge(pixels)
        pictures = PictureJudge(self.opened, self.decoder, judge, track)
        readable, read = pictures.readable(
            parts.selection,
            parts.labels[parts.selection],
            parts.gallery,
            parts.labels[parts.gallery],
            pixels[parts.gallery],
        )
        chosen = [label for label, row in enumerate(readable) if row.chosen]
        if not chosen:
            return readable, (), ()
        before = pictures.decoded(pictures.embeddings(parts.selection), "decode selection images")
        selected = tuple(
            pictures.shares(
                f"directions, strength {strength:g}",
                "directions",
                strength,
                chosen,
                parts.selection,
                before,
                images=images // 2,
                seed=self.seed,
            )
            for strength in STRENGTHS
        )
        ways: list[tuple[str, Way, float]] = [("directions", "directions", 1.0)]
        ways += [(name, "paper", strength) for name, strength in PAPER]
        measured = tuple(
            pictures.shares(
                name,
                way,
                strength,
                chosen,
                parts.gallery,
                read,
                images=images,
                seed=self.seed,
            )
            for name, way, strength in ways
        )
        return readable, selected, measured

    def _pixels(self) -> U8:
        """Pixels of all rows of the view, at the decoder's size, uint8 [N, H, W, 3], memory-mapped."""
        path = self.folder / f"pixels-{'x'.join(map(str, self.decoder.size))}.npy"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.say(f"reading images at {self.decoder.size[0]} × {self.decoder.size[1]} pixels")
            rows = self.opened.snapshot.images(self.opened.view.ids.tolist())
            read, _ = cache_pixels(rows, self.decoder.size, self.decoder.crop, path)
            if not np.array_equal(read, self.opened.view.ids):
                path.unlink(missing_ok=True)
                raise BenchmarkError("some images cannot be read: run olrsearch store verify, or delete them")
        found: U8 = np.load(path, mmap_mode="r")
        return found

    def _judge(self, pixels: U8) -> Judge:
        path = self.folder / "judge.pt"
        if path.exists():
            return Judge.read(path)
        parts = self.parts
        judge = train_judge(
            pixels,
            parts.labels,
            parts.selection,
            parts.train,
            epochs=self.epochs,
            seed=self.seed,
            say=self.say,
        )
        judge.save(path)
        return judge


def _parts(opened: OpenSpace, seed: int) -> _Parts:
    ids = opened.view.ids
    columns = opened.snapshot.columns(ids, ("partition", "identity", "key"))
    order = np.argsort(ids, kind="stable")
    partition = columns["partition"][order]
    training = order[partition == "train"]
    gallery = order[(partition == "val") | (partition == "test")]
    labels = stored_labels(opened.snapshot, ids, opened.info.labels)
    if not len(gallery) or not len(training) or not labels.any():
        raise BenchmarkError(
            "edits are measured on images of val and test, by a judge that learns from labelled images of "
            "train: import such images"
        )
    people = [None if person < 0 else int(person) for person in columns["identity"][training]]
    keys = [str(key) for key in columns["key"][training]]
    size = min(SELECTION, len(training) // 4)
    held = selection_split(people, keys, size=size, seed=seed)
    return _Parts(training[~held], training[held], gallery, labels)


def _idf(parts: _Parts) -> F64:
    count = (parts.labels[parts.train] > 0).sum(axis=0)
    found: F64 = np.log(len(parts.train) / np.maximum(count, 1))
    return found
