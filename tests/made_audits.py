"""Stores with planted label errors, and scorers whose calls are counted, for tests of audits."""

import csv

import numpy as np
from command import good
from pictures import LABELS, name, picture

from olrsearch.audit.scorers.other_labels import OtherLabels
from olrsearch.audit.scorers.probability import Probability
from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.core.errors import AuditError

RED = LABELS.index("Red")
WRONG = (3, 17, 40, 41, 66, 90)
"""Pictures whose label Red is stored the other way round."""
UNLABELLED = (8, 50, 95)
"""Pictures whose label Striped is not stored."""


def truth(row):
    return picture(row)[1]


def spoil(gallery, home):
    """A copy of the pictures' store with wrong and missing labels, as an import brings them."""
    store = gallery.copy(home / "store")
    table = home / "spoiled.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *LABELS])
        for row in range(120):
            labels = list(truth(row))
            labels[RED] *= -1 if row in WRONG else 1
            if row in UNLABELLED:
                labels[LABELS.index("Striped")] = 0
            words = {1: "1", -1: "-1", 0: ""}
            writer.writerow([name(row), *(words[value] for value in labels)])
    good(store, "import", "folder", gallery.data, "--labels", table)
    return store


class Nearest:
    """Votes of the five nearest images of other folds; explains itself with those that contradict."""

    name = "neighbours"
    summary = "votes"

    def evidence(self, material, *, track):
        out = np.full((material.labels, material.images), np.nan, np.float32)
        for label in track(range(material.labels), total=material.labels, what=self.name, unit="labels"):
            for row in range(material.images):
                votes = material.given[self._near(material, row, label), label]
                out[label, row] = (1 + (votes > 0).sum()) / (2 + (votes != 0).sum())
        return out

    def explain(self, material, row, label, present):
        del present
        near = self._near(material, row, label)
        against = near[material.given[near, label] == -material.given[row, label]]
        return Explanation("by its neighbours", tuple(against.tolist()))

    @staticmethod
    def _near(material, row, label):
        vectors = material.views.embeddings(int(material.fold[row]), label)
        distance = ((vectors - vectors[row]) ** 2).sum(axis=1)
        distance[material.fold == material.fold[row]] = np.inf
        return np.argsort(distance, kind="stable")[:5]


class Counted:
    """A scorer that keeps count, and can be told to fail."""

    def __init__(self, scorer, calls, fail):
        self.name, self.summary, self.explain = scorer.name, scorer.summary, scorer.explain
        self._scorer, self._calls, self._fail = scorer, calls, fail

    def evidence(self, material, *, track):
        self._calls.append(f"{self.name} {material.images}")
        error = self._fail.pop(len(self._calls), None)
        if error is not None:
            raise error
        return self._scorer.evidence(material, track=track)


class Scorers:
    """What audits get instead of the program's scorers."""

    def __init__(self):
        self.known = {"probability": Probability, "other-labels": OtherLabels, "neighbours": Nearest}
        self.calls = []
        self.fail = {}
        """Errors, by how many calls there have been."""

    def make(self, names):
        wanted = list(self.known) if names is None else names
        for one in wanted:
            if one not in self.known:
                raise AuditError(f"no scorer {one!r}; there are {', '.join(self.known)}")
        return tuple(Counted(self.known[one](), self.calls, self.fail) for one in wanted)

    def install(self, monkeypatch):
        for module in ("begin", "from_store"):
            monkeypatch.setattr(f"olrsearch.audit.runs.{module}.make_scorers", self.make)
        return self
