"""Makes golden stores of earlier revisions of the tables, with the code that wrote them.

    PYTHONPATH=CHECKOUT python tests/golden/older.py FOLDER tests/golden/stores/0001.tar.xz

CHECKOUT is of a commit whose newest revision was that one: e897dca for 0001, 53d7c47 for 0002. Revisions
0003 and 0004 came with one commit, bcde0e4: for 0003 its checkout goes without `0004_audits.py`, and `HEAD`
in its `store/migrate.py` says 0003. The script uses what all of them know, and more where there is more.
FOLDER as for `making.py`.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path

from making_files import pack
from olrsearch.datasets.avatars import generate_avatars

from olrsearch import Store


def make(folder: Path) -> Path:
    """Make the store in a folder that is not there yet; returns the store's path."""
    folder.mkdir(parents=True)
    generate_avatars(folder / "avatars", count=60, seed=6, size=(56, 46), workers=1)
    with Store.create(folder / "store") as store:
        store.import_celeba(folder / "avatars", name="avatars", thumbnails=False)
        store.train_olr("tiny", settings={"seed": "2", "teacher_epochs": "4", "siamese_epochs": "4"})
        store.encode()
        olr = store.info()["spaces"][0]["name"]
        store.calibrate(olr, where="partition != 'test'")
        store.build_index("sq8", space=olr)
        if hasattr(store, "train_informed_prior"):
            store.train_informed_prior("tiny", settings={"seed": "2", "words": "glove", "size": "8"})
            store.encode()
            prior = store.info()["spaces"][1]["name"]
            for recipe in ("exact", "kl-projected", "kl-hnsw", "kl-sq8"):
                store.build_index(recipe, space=prior)
        store.delete(["000007.jpg", "000031.jpg"])
        store.set_label(["000003.jpg", "000004.jpg"], "Smiling", "present", who="ann", why="seen")
        store.set_label(["000003.jpg"], "Smiling", "absent", who="bob", why="seen again")
        if hasattr(store, "decide"):
            from olrsearch.audit.decision_files import DecisionRequest

            for number, verdict in enumerate(("accept", "flip", "unsure", "flip"), 10):
                store.decide([DecisionRequest(f"0000{number}.jpg", "Beard", verdict)], who="ann")
            store.undo_decision("000013.jpg", "Beard", who="bob", why="wrongly flipped")
    with sqlite3.connect(folder / "store" / "metadata.db") as database:
        database.execute("VACUUM")
    database.close()
    return folder / "store"


if __name__ == "__main__":
    home, target = Path(sys.argv[1]), Path(sys.argv[2])
    pack(make(home), target)
    shutil.rmtree(home)
