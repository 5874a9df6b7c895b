"""Makes the golden store of today's format: generated avatars, both kinds of encoders, all a store can hold.

    python tests/golden/making.py FOLDER tests/golden/stores/0004.tar.xz

It was run once, with the code whose answers are recorded, and is kept to show what the store holds. FOLDER
must not be there, and is removed in the end. The store remembers it as the place of its images, so name one
that says nothing. `older.py` makes the stores of earlier revisions.
"""

from __future__ import annotations

import csv
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
from making_files import pack
from olrsearch.audit.decision_files import DecisionRequest
from olrsearch.datasets.avatars import generate_avatars

from olrsearch import Store

IMAGES, SIZE = 180, (56, 46)
BEFORE = ("exact", "hnsw", "kl-projected", "kl-hnsw", "kl-torch")
"""Built before the last images were encoded: they are searched beside the index."""
AFTER = ("sq8", "kl-proven", "kl-projected-hnsw", "kl-sq8", "kl-fp16")


def make(folder: Path) -> Path:
    """Make the store in a folder that is not there yet; returns the store's path."""
    folder.mkdir(parents=True)
    first, second, others = folder / "avatars", folder / "relabelled", folder / "others"
    generate_avatars(first, count=IMAGES, seed=5, size=SIZE, label_noise=0.04, workers=1)
    # The same pictures with other labels: what people corrected, as a later edition of the data set.
    generate_avatars(second, count=IMAGES, seed=5, size=SIZE, label_noise=0.02, workers=1)
    with Store.create(folder / "store") as store:
        store.import_celeba(first, name="avatars", thumbnails=False)
        store.train_olr("tiny", settings={"seed": "3", "teacher_epochs": "6", "siamese_epochs": "6"})
        store.encode()
        olr = store.info()["spaces"][0]["name"]
        words = {"seed": "3", "words": "glove", "size": "10", "epochs": "8"}
        store.train_informed_prior("tiny", settings=words)
        store.encode()
        prior = store.info()["spaces"][1]["name"]
        store.build_index("exact", space=prior)
        # Other labels of images that are there: a label revision.
        shutil.copy(second / "list_attr_celeba.txt", first)
        store.import_celeba(first, name="avatars", thumbnails=False)
        store.calibrate(olr)  # the other space's calibration stays that of the labels before
        build(store, folder, BEFORE, olr, prior)
        store.import_folder(others_folder(others), labels=others / "labels.csv", name="others")
        store.encode(olr)
        store.encode(prior)
        build(store, folder, AFTER, olr, prior)
        store.delete(["avatars/000007.jpg", "avatars/000090.jpg", "others/000003.jpg"])
        store.delete(where="dataset = 'avatars' and key = '000121.jpg'")
        audit_and_decide(store)
        store.disagreements()  # asks the teacher, whose answers are kept: the images will be gone
        generate_avatars(folder / "late", count=2, seed=9, size=SIZE, workers=1)
        store.import_celeba(folder / "late", name="late", thumbnails=False)  # and not encoded
    with sqlite3.connect(folder / "store" / "metadata.db") as database:
        database.execute("VACUUM")
    database.close()
    return folder / "store"


def others_folder(folder: Path) -> Path:
    """A folder of pictures with a table of labels: some are unknown, and one no encoder has met."""
    generate_avatars(folder.parent / "drawn", count=20, seed=8, size=SIZE, workers=1)
    shutil.copytree(folder.parent / "drawn" / "img_align_celeba", folder)
    names, rows = read_attributes(folder.parent / "drawn" / "list_attr_celeba.txt")
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["key", *names, "Seen_Twice", "partition"])
        for number, (key, values) in enumerate(rows.items()):
            known = [value if rng.random() > 0.1 else "" for value in values]
            table.writerow([key, *known, 1 if number % 3 else -1, "test" if number % 2 else "val"])
    return folder


def read_attributes(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Names of labels, and each image's values as text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[1].split(), {line.split()[0]: line.split()[1:] for line in lines[2:]}


def build(store: Store, folder: Path, recipes: tuple[str, ...], olr: str, prior: str) -> None:
    """Build recipes; the one for a GPU on the CPU, from a file that differs in that alone."""
    for name in recipes:
        if name != "kl-torch":
            store.build_index(name, space=prior if name.startswith("kl-") else olr)
            continue
        from olrsearch._resources import recipes_dir

        text = (recipes_dir() / "kl-torch.toml").read_text(encoding="utf-8")
        path = folder / "kl-torch.toml"
        path.write_text(text.replace('device = "auto"', 'device = "cpu"'), encoding="utf-8")
        store.build_index(str(path), space=prior)


def audit_and_decide(store: Store) -> None:
    """An audit, decisions of every kind on its suspects, a refit, and decisions after it."""
    store.audit.run(seed=1)
    (run,) = [item.run for item in store.audit.runs()]
    suspects = store.audit.list(k=30).issues
    verdicts = ("flip", "accept", "unsure", "flip", "accept")
    for number, issue in enumerate(suspects[:15]):
        decision = DecisionRequest(issue.image_id, issue.label, verdicts[number % 5], why=f"seen {number}")
        store.decide([decision], who="ann", run=run)
    store.undo_decision(suspects[0].image_id, suspects[0].label, who="bob", why="too dark to say")
    store.audit.refit()
    for number, issue in enumerate(suspects[20:26]):
        decision = DecisionRequest(issue.image_id, issue.label, verdicts[number % 5])
        store.decide([decision], who="bob")
    store.set_label(
        ["avatars/000011.jpg", "others/000005.jpg"], "Smiling", "unknown", who="eve", why="asleep"
    )
    store.set_label(["avatars/000012.jpg"], "Beard", "present", who="eve")
    store.undo_decision("avatars/000011.jpg", "Smiling", who="eve")


if __name__ == "__main__":
    home, target = Path(sys.argv[1]), Path(sys.argv[2])
    pack(make(home), target)
    shutil.rmtree(home)
