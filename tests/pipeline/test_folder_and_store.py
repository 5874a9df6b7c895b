"""A folder that people change at will, imported again and again: store and folder stay together."""

import hashlib
import random
import shutil
from collections import Counter

import pytest
from pictures import picture
from PIL import Image

from olrsearch import DecisionRequest, Store
from olrsearch.store.read.decisions import read_history


class Folder:
    """Pictures by name, and what people do with them."""

    def __init__(self, path, seed):
        self.path, self.random, self.drawn = path, random.Random(seed), 100 * seed
        path.mkdir()

    def names(self):
        return sorted(str(file.relative_to(self.path)) for file in self.path.rglob("*.png"))

    def contents(self):
        return {name: hashlib.sha256((self.path / name).read_bytes()).hexdigest() for name in self.names()}

    def any(self):
        return self.path / self.random.choice(self.names())

    def new(self):
        self.drawn += 1
        path = self.path / self.random.choice(["", "sub", "other"]) / f"{self.drawn:03}.png"
        path.parent.mkdir(exist_ok=True)
        return path

    def draw(self, path):
        self.drawn += 1
        Image.fromarray(picture(self.drawn, seed=3)[0]).save(path)

    def change(self):
        """One thing that happens to files."""
        one, other = self.any(), self.any()
        what = self.random.choice(
            ["new", "edit", "rename", "swap", "copy", "over", "remove", "aside", "number"]
        )
        if what in {"new", "edit"}:
            self.draw(self.new() if what == "new" else one)
        elif what == "rename":
            one.rename(self.new())
        elif what == "swap" and one != other:
            aside = self.path / "aside"
            one.rename(aside)
            other.rename(one)
            aside.rename(other)
        elif what == "copy":
            shutil.copy(one, self.new())
        elif what == "over" and one != other:
            one.replace(other)
        elif what == "remove" and len(self.names()) > 6:
            one.unlink()
        elif what == "aside":  # an editor that keeps the original
            shutil.copy(one, self.new())
            self.draw(one)
        elif what == "number":  # each file gets the next one's name, and a new one the first name
            files = [self.path / name for name in self.names()]
            for file, name in reversed(list(zip(files, [*files[1:], self.new()], strict=True))):
                file.rename(name)
            self.draw(files[0])


def seen(snapshot):
    """What a reader of one generation sees."""
    ids = snapshot.image_ids()
    keys = snapshot.columns(ids, ["key"])["key"].tolist()
    assert [snapshot.resolve(f"faces/{key}") for key in keys] == ids.tolist()
    history = [(item.image_id, item.key, item.verdict, item.sha256) for item in read_history(snapshot)]
    return ids.tolist(), keys, snapshot.labels(ids).tolist(), history


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_store_and_folder_stay_together(tmp_path, seed):
    folder = Folder(tmp_path / "pictures", seed)
    for _ in range(10):
        folder.draw(folder.new())
    readers = []
    with Store.create(tmp_path / "store") as store:
        for turn in range(12):
            sync = folder.random.random() < 0.5
            before = store.session.backend.snapshot()
            known = {row.sha256: row.id for row in before.images(before.image_ids())}
            there = Counter(row.sha256 for row in before.images(before.image_ids()))
            report = store.import_folder(folder.path, name="faces", sync=sync, remove_most=sync)
            now = store.session.backend.snapshot()
            rows = now.images(now.image_ids())
            files = folder.contents()
            images = {row.key: row.sha256 for row in rows}
            assert {key: images[key] for key in files} == files
            assert len(rows) == len(images) == len(files) + report.gone
            assert report.gone == 0 or not sync
            counted = report.added + report.unchanged + report.replaced + report.moved + report.restored
            assert counted + report.updated == len(files)
            # Bytes that were there once, and are, are the same image.
            copies = Counter(files.values())
            for row in rows:
                if row.key in files and there[row.sha256] == copies[row.sha256] == 1:
                    assert row.id == known[row.sha256]
            if turn % 4 == 0:
                assert store.verify(sources=sync).ok
            assert store.import_folder(folder.path, name="faces").unchanged == len(files)
            with store.session.backend.writer() as writer:
                writer.gallery.add_labels(["Seen"])
            one, other = (str(folder.any().relative_to(folder.path)) for _ in range(2))
            store.labels.set([one], "Seen", 1, who="ann")
            store.labels.decide([DecisionRequest(other, "Seen", "unsure")], who="bob")
            latest = store.session.backend.snapshot()
            readers.append((latest, seen(latest)))
            for _ in range(folder.random.randint(1, 3)):
                folder.change()
            for reader, saw in readers[-8:]:
                assert seen(reader) == saw
