"""Hundreds of questions of all kinds: the same store and the same seed, the same questions.

A question is JSON-ready: its section, the name of a function in `asking.py`, its arguments. Questions are
made of what the store itself says it holds (labels, words, images, recipes). Errors are answers too.
Sections:

stored      counts, selections, what is there          decisions   their history, exports
search      attributes                                 audit       lists, one entry, summaries, rules
similar     by labels                                  looks       norms, components, disagreements
words       by words, contains and match               errors      questions that are refused
posterior   by posterior, and single posteriors        built       by recipes that stay
describe    labels and words of images                 leaving     by KL recipes that go: hnsw, sq8, fp16
network     what an encoder is loaded for              sheets      pages and tables as text
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from golden import asking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LEAVING: Final = ("kl-fp16", "kl-hnsw", "kl-projected-hnsw", "kl-sq8")
OTHER_WORDS: Final = ("spectacles", "grin", "cap", "whiskers")
"""Words that are no label: they need the table of word vectors that the encoder was trained with."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        section: See the module.
        verb: Name of a function in `asking.py`.
        given: Its arguments after the store.
        options: Its keyword arguments.
    """

    section: str
    verb: str
    given: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def spelt(self) -> str:
        """As a call, for people."""
        parts = [repr(value) for value in self.given]
        parts += [f"{name}={value!r}" for name, value in self.options.items()]
        return f"{self.verb}({', '.join(parts)})"

    def ask(self, store: Any) -> Any:
        """The answer, or the error."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return getattr(asking, self.verb)(store, *self.given, **self.options)
            except Exception as error:  # noqa: BLE001 - a refusal is an answer
                return {"error": type(error).__name__, "message": str(error)}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `of` reads it."""
        return {
            "section": self.section,
            "verb": self.verb,
            "given": list(self.given),
            "options": self.options,
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Question:
        """A question that was written down."""
        return cls(kept["section"], kept["verb"], tuple(kept["given"]), kept["options"])


def make_questions(store: Any, *, seed: int = 0, hits: int = 10) -> list[Question]:
    """All questions to a store; `hits` is the length of most rankings."""
    facts = _Facts.of(store)
    made: list[Question] = []
    kinds = [_stored, _decisions, _errors]
    if facts.labels:
        kinds += [_search, _similar, _describe, _looks, _label_recipes]
    if facts.words:
        kinds += [_words, _posterior, _kl_recipes]
    if facts.suspects:
        kinds += [_audit]
    for number, kind in enumerate(kinds):
        made += kind(facts, np.random.default_rng([seed, number]), hits)
    return made


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a store holds.

    Attributes:
        ids: Images that have label embeddings and, where there are any, posteriors.
        labels: Of the label encoder.
        stored: Labels of the store.
        words: The posterior encoder's own.
        spaces: Their names.
        recipes: Built for label embeddings, and for posteriors.
        datasets: Names.
        size: Numbers a label.
        suspects: Entries of a finished audit, an image and a label; none where there is no audit.
        table: Whether the words' table is at hand.
    """

    ids: list[int]
    labels: list[str]
    stored: list[str]
    words: list[str]
    spaces: list[str]
    recipes: tuple[list[str], list[str]]
    datasets: list[str]
    size: int
    suspects: list[tuple[int, str]]
    table: bool

    @classmethod
    def of(cls, store: Any) -> _Facts:
        told = asking.info(store)
        spaces = {item["layout"]: item for item in told["spaces"] if item["embeddings"]}
        labels = list(asking.labels(store)) if "labels" in spaces else []
        asked = asking.search(store, labels[0], k=10**9) if labels else ()
        ids = sorted(hit.image_id for hit in asked)
        words: list[str] = []
        table = True
        if "posterior" in spaces:
            (described,) = asking.describe_words(store, [ids[0]])
            words = sorted(item.word for item in described.estimates if item.own)
            try:
                asking.describe_words(store, [ids[0]], others=[OTHER_WORDS[0]])
            except Exception:  # noqa: BLE001 - whatever is missing, such words cannot be asked
                table = False
        return cls(
            ids=ids,
            labels=labels,
            stored=[row["label"] for row in asking.label_counts(store)],
            words=words,
            spaces=[item["name"] for item in told["spaces"]],
            recipes=tuple(
                spaces[name]["indexes"] if name in spaces else [] for name in ("labels", "posterior")
            ),
            datasets=[item["name"] for item in told["datasets"]],
            size=spaces["labels"]["k"] if "labels" in spaces else 0,
            suspects=_suspects(store),
            table=table,
        )

    def conditions(self) -> list[str]:
        """Filters of every form."""
        first, last, middle = self.ids[0], self.ids[-1], self.ids[len(self.ids) // 2]
        one, other = self.stored[1], self.stored[len(self.stored) // 2]
        return [
            "partition = 'test'",
            "partition != 'train' and identity is not null",
            f"id > {middle}",
            f"id >= {first} and id < {middle}",
            f"id in ({first}, {middle}, {last}, 4, 5, 6)",
            f"not (id in ({first}, {middle}))",
            "key like '0000%'",
            f"dataset = '{self.datasets[0]}' and width >= 20",
            f"{one} = present",
            f"{one} = absent and {other} != present",
            f"{other} = unknown or partition = 'val'",
            "height < 10",
            "created_at > '2020-01-01' and size_bytes > 100",
        ]


def _suspects(store: Any) -> list[tuple[int, str]]:
    if not any(run.state == "finished" for run in asking.audit_runs(store)):
        return []
    return [(issue.image_id, issue.label) for issue in asking.audit_list(store, k=100, reviewed=True)]


def _some(rng: np.random.Generator, items: Sequence[Any], count: int) -> list[Any]:
    """Some of them, each once."""
    return [items[row] for row in rng.choice(len(items), min(count, len(items)), replace=False).tolist()]


def _spelt(rng: np.random.Generator, name: str) -> str:
    """A name in one of the spellings that match it."""
    plain = name.replace("_", " ") if name.replace("_", "").isalpha() else name
    return [name, name.lower(), plain.lower(), name.upper()][int(rng.integers(4))]


def _query(rng: np.random.Generator, labels: Sequence[str]) -> str:
    """An attribute query of one to five labels, with and, or, not, groups and weights."""
    parts = []
    for label in _some(rng, labels, int(rng.integers(1, 6))):
        text = _spelt(rng, label)
        text = f"!{text}" if rng.random() < 0.3 else text
        parts.append(f"{text}^{rng.integers(2, 6) / 2:g}" if rng.random() < 0.3 else text)
    joined = parts[0]
    for part in parts[1:]:
        sign = ("&", "&", "&", "|", ",")[int(rng.integers(5))]
        joined = f"({joined}) {sign} {part}" if rng.random() < 0.3 else f"{joined} {sign} {part}"
    return f"!({joined})" if rng.random() < 0.1 else joined


def _search(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    def ask(query: str, **options: Any) -> Question:
        return Question("search", "search", (query,), {"k": hits, **options})

    for label in _some(rng, facts.labels, 6):
        yield ask(label)
        yield ask(f"!{label}")
    for _ in range(30):
        yield ask(_query(rng, facts.labels))
    for evidence in ("labels", "both"):
        for _ in range(8):
            yield ask(_query(rng, facts.labels), evidence=evidence)
    for where in facts.conditions():
        yield ask(_query(rng, facts.labels), where=where)
    for chance in (0.001, 0.05, 0.3, 0.5, 0.9, 1.0):
        yield ask(_query(rng, facts.labels), min_probability=chance)
    for offset in (1, 7, len(facts.ids) // 2, len(facts.ids) - 2, 10**6):
        yield ask(_query(rng, facts.labels), offset=offset)
    yield ask(facts.labels[0], k=1)
    yield ask(
        _query(rng, facts.labels),
        where="partition = 'train'",
        evidence="both",
        min_probability=0.01,
        offset=2,
    )


def _similar(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:  # noqa: C901 - a list
    few = max(3, hits // 3)  # each hit of all labels names them all

    def ask(*given: Any, **options: Any) -> Question:
        return Question("similar", "similar", given, {"k": hits, **options})

    for image in _some(rng, facts.ids, 5):
        yield ask(image, k=few)
    for image in _some(rng, facts.ids, 8):
        yield ask(image, by=_spelt(rng, _some(rng, facts.labels, 1)[0]))
    for image in _some(rng, facts.ids, 5):
        yield ask(image, by=_some(rng, facts.labels, 3))
    for image in _some(rng, facts.ids, 5):
        yield ask(image, by={label: int(rng.integers(1, 9)) / 4 for label in _some(rng, facts.labels, 3)})
    for _ in range(5):
        one, other = _some(rng, facts.labels, 2)
        first, second = _some(rng, facts.ids, 2)
        yield ask(with_={one: first, other: second})
        yield ask(first, by=[one], with_={other: second})
    for label in _some(rng, facts.labels, 5):
        yield ask(prototypes=[label])
    image, (one, other) = _some(rng, facts.ids, 1)[0], _some(rng, facts.labels, 2)
    yield ask(image, by=[one], prototypes=[other])
    yield ask(prototypes=[one, other])
    for label in _some(rng, facts.labels, 4):
        yield ask(with_={label: rng.normal(size=facts.size).round(3).tolist()})
    for image, distance in zip(_some(rng, facts.ids, 4), (0.0, 0.2, 0.7, 1.5), strict=True):
        yield ask(image, by=one, max_distance=distance)
    for where in facts.conditions():
        yield ask(_some(rng, facts.ids, 1)[0], by=_some(rng, facts.labels, 1)[0], where=where)
    for offset in (3, len(facts.ids) - 3):
        yield ask(image, by=other, offset=offset)
        yield ask(image, offset=offset, k=few)
    yield ask(image, include_self=True, k=few)
    yield ask(image, by=other, include_self=True)


def _label_recipes(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    few = max(3, hits // 3)
    for recipe in facts.recipes[0]:
        for image in _some(rng, facts.ids, 4):
            by = _some(rng, facts.labels, 1)[0]
            yield Question("built", "similar", (image,), {"by": by, "k": hits, "recipe": recipe})
        for image in _some(rng, facts.ids, 2):
            yield Question("built", "similar", (image,), {"k": few, "recipe": recipe})
        label = _some(rng, facts.labels, 1)[0]
        yield Question("built", "similar", (), {"prototypes": [label], "k": hits, "recipe": recipe})
        # Where an index does not apply: the exact scan answers.
        image, by = _some(rng, facts.ids, 1)[0], _some(rng, facts.labels, 2)
        yield Question("built", "similar", (image,), {"by": by, "k": hits, "recipe": recipe})
        options = {"by": by[0], "k": hits, "recipe": recipe, "where": "partition = 'train'"}
        yield Question("built", "similar", (image,), options)
    yield Question("built", "similar", (facts.ids[0],), {"by": facts.labels[0], "recipe": "no-such-recipe"})


def _describe(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    del hits
    yield Question("describe", "describe", (_some(rng, facts.ids, 4),))
    for image in _some(rng, facts.ids, 2):
        yield Question("describe", "embedding", (image,))
    if facts.words:
        yield Question("describe", "describe_words", (_some(rng, facts.ids, 4),))
        if facts.table:
            others = {"others": list(OTHER_WORDS)}
            yield Question("describe", "describe_words", (_some(rng, facts.ids, 2),), others)


def _set_of_words(rng: np.random.Generator, facts: _Facts, *, negate: bool, others: bool = True) -> list[str]:
    """One to four words, own ones or not, weighed and negated."""
    asked = [_spelt(rng, word) for word in _some(rng, facts.words, int(rng.integers(1, 4)))]
    if others and facts.table and rng.random() < 0.4:
        asked.append(_some(rng, OTHER_WORDS, 1)[0])
    asked = [f"{word}^{rng.integers(1, 5) / 2:g}" if rng.random() < 0.3 else word for word in asked]
    return [f"!{word}" if negate and rng.random() < 0.3 else word for word in asked]


def _words(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:  # noqa: C901 - a list
    def ask(asked: str | list[str], **options: Any) -> Question:
        return Question("words", "words", (asked,), {"k": hits, **options})

    for _ in range(16):
        yield ask(_set_of_words(rng, facts, negate=True))
    yield ask(facts.words[0])
    yield ask([f"!{facts.words[0]}", f"!{facts.words[1]}"], mode="match")
    for direction in (None, "query-to-image", "image-to-query", "jeffreys"):
        for shrinkage in (None, 0.05, 1.0):
            asked = _set_of_words(rng, facts, negate=shrinkage is None)
            yield ask(asked, mode="match", direction=direction, shrinkage=shrinkage)
        yield ask(_set_of_words(rng, facts, negate=False), mode="match", direction=direction, farthest=True)
    for where in facts.conditions()[:8]:
        mode = ("contains", "match")[int(rng.integers(2))]
        yield ask(_set_of_words(rng, facts, negate=True), mode=mode, where=where)
    for offset in (2, len(facts.ids) - 2):
        for mode in ("contains", "match"):
            yield ask(_set_of_words(rng, facts, negate=False), mode=mode, offset=offset)
    if facts.labels:
        for how in ("filter", "rank"):
            for mode in ("contains", "match"):
                for _ in range(2):
                    options = {"mode": mode, "attributes_mode": how, "attributes": _query(rng, facts.labels)}
                    yield ask(_set_of_words(rng, facts, negate=False), **options)
        options = {"attributes": facts.labels[0], "attributes_mode": "rank", "where": "partition = 'train'"}
        yield ask(_set_of_words(rng, facts, negate=True), offset=3, **options)


def _posterior(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    def ask(image: int, **options: Any) -> Question:
        return Question("posterior", "similar", (image,), {"by": "posterior", "k": hits, **options})

    for direction in (None, "query-to-image", "image-to-query", "jeffreys"):
        for image in _some(rng, facts.ids, 3):
            yield ask(image, direction=direction)
        yield ask(_some(rng, facts.ids, 1)[0], direction=direction, farthest=True)
    for image, distance in zip(_some(rng, facts.ids, 4), (0.5, 5.0, 20.0, 100.0), strict=True):
        yield ask(image, max_distance=distance)
    for where in facts.conditions()[:6]:
        yield ask(_some(rng, facts.ids, 1)[0], where=where)
    image = _some(rng, facts.ids, 1)[0]
    yield ask(image, include_self=True)
    yield ask(image, offset=5)
    yield ask(image, recipe="exact")
    for image in _some(rng, facts.ids, 2):
        yield Question("posterior", "posterior", (image,))
    yield Question("network", "look_posteriors", (_some(rng, facts.ids, 2),), {"samples": 3, "seed": 5})
    for _ in range(2):
        asked = _set_of_words(rng, facts, negate=False)
        yield Question("network", "look_words", (asked,), {"samples": 2, "seed": 7})
    yield Question("network", "look_words", ([facts.words[0]],), {"samples": 0, "shrinkage": 0.5})


def _kl_recipes(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    for recipe in facts.recipes[1]:
        section = "leaving" if recipe in LEAVING else "built"
        # Its own stream: without a recipe the questions to others stay the same.
        own = np.random.default_rng([int(rng.bit_generator.seed_seq.entropy[0]), *recipe.encode()])

        def ask(
            asked: list[str], *, section: str = section, recipe: str = recipe, **options: Any
        ) -> Question:
            given = {"mode": "match", "k": hits, "recipe": recipe, **options}
            return Question(section, "words", (asked,), given)

        for _ in range(5):
            yield ask(_set_of_words(own, facts, negate=False))
        yield ask([facts.words[0], facts.words[-1]], k=3 * hits, offset=7)
        # Where an index does not apply, and says so.
        yield ask([facts.words[0], f"!{facts.words[1]}"])
        yield ask([facts.words[0]], direction="jeffreys")
        yield ask([facts.words[0]], farthest=True)
        yield ask([facts.words[0]], shrinkage=0.3)
        yield ask([facts.words[2]], where="partition = 'test'")
        for image in _some(own, facts.ids, 3):
            options = {"by": "posterior", "direction": "query-to-image", "k": hits, "recipe": recipe}
            yield Question(section, "similar", (image,), options)
        yield Question(section, "similar", (facts.ids[1],), {"by": "posterior", "k": hits, "recipe": recipe})
    yield Question("built", "words", ([facts.words[0]],), {"mode": "match", "recipe": "kl-no-such-recipe"})


def _looks(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    yield Question("looks", "norm_correlations")
    options = {"labels": _some(rng, facts.labels, 5), "where": "partition = 'train'"}
    yield Question("looks", "norm_correlations", (), options)
    for number, label in enumerate(_some(rng, facts.labels, 4)):
        options = {"component": 1 + number % min(2, facts.size), "count": hits}
        yield Question("looks", "components", (label,), options)
    options = {"count": hits, "where": "partition != 'test'"}
    yield Question("looks", "components", (facts.labels[0],), options)
    yield Question("looks", "disagreements", (), {"count": hits})
    yield Question("looks", "disagreements", (), {"label": _some(rng, facts.labels, 1)[0], "count": None})
    yield Question("looks", "metric")
    yield Question("looks", "bench_data")


def _stored(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    del rng, hits
    yield Question("stored", "verify")
    yield Question("stored", "info")
    yield Question("stored", "encoders")
    yield Question("stored", "label_counts")
    if facts.labels:
        yield Question("stored", "labels")
    for space in facts.spaces:
        yield Question("stored", "index_info", (space,))
    for where in facts.conditions():
        yield Question("stored", "select", (where,))


def _decisions(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    del rng, hits
    yield Question("decisions", "decisions")
    for label in ("Smiling", facts.stored[0]):
        yield Question("decisions", "decisions", (), {"label": label})
    yield Question("decisions", "decisions", (), {"image": facts.ids[10]})
    yield Question("decisions", "export_decisions")
    for name in ("labels.csv", "labels.json", "labels.txt"):
        for dataset in facts.datasets[:2]:
            yield Question("decisions", "export_labels", (name,), {"dataset": dataset})
    yield Question(
        "decisions", "export_labels", ("labels.csv",), {"where": f"id in {tuple(facts.ids[8:16])}"}
    )


def _audit(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    def ask(*given: Any, **options: Any) -> Question:
        return Question("audit", "audit_list", given, {"k": 2 * hits, **options})

    yield Question("audit", "audit_runs")
    yield Question("audit", "audit_summary")
    yield ask()
    yield ask(offset=hits)
    yield ask(reviewed=True)
    for label in _some(rng, facts.stored, 4):
        yield ask(label)
        yield ask(label, given="present", k=hits)
        yield ask(label, suggested="present", k=hits)
    yield ask(given="absent")
    yield ask(unknown=True)
    yield ask(unknown=True, suggested="absent")
    others = zip(_some(rng, facts.ids, 4), _some(rng, facts.stored, 4), strict=True)
    for image, label in [*_some(rng, facts.suspects, 8), *others]:
        yield Question("audit", "audit_show", (image, label))
    yield Question("audit", "audit_rules")
    one, two, three, four = facts.stored[3:7]
    text = f"never: {one} & {two}\nalways: {three} -> !{four}  # said\nat most one: {one}, {two}, {three}\n"
    yield Question("audit", "audit_rules", (text,))
    yield Question("sheets", "audit_table", (), {"k": 3 * hits})
    yield Question("sheets", "audit_sheet", (), {"labels": [one, two], "k": 3})
    yield Question("sheets", "audit_card", (facts.ids[3], one))
    yield Question("sheets", "sheet", (facts.labels[0],), {"k": 6})


def _errors(facts: _Facts, rng: np.random.Generator, hits: int) -> Iterator[Question]:
    del rng, hits
    if facts.labels:
        yield Question("errors", "search", ("smilling & no such label",))
        yield Question("errors", "search", ("(a & b",))
        yield Question("errors", "search", (facts.labels[0],), {"k": 0})
        yield Question("errors", "search", (facts.labels[0],), {"where": "colour = 'red'"})
        yield Question("errors", "search", (facts.labels[0],), {"space": "no-such-space"})
        yield Question("errors", "similar", ("no-such-image.jpg",))
        yield Question("errors", "similar", (facts.ids[0],), {"direction": "jeffreys"})
        yield Question("errors", "components", (facts.labels[0],), {"component": 1000})
    if facts.words:
        yield Question("errors", "words", ("zzyzzxq",))
        yield Question("errors", "words", (facts.words[0],), {"farthest": True})
        yield Question("errors", "search", (facts.words[0],), {"space": facts.spaces[-1]})
    yield Question("errors", "export_labels", ("labels.doc",))
    yield Question("errors", "decisions", (), {"label": "no such label"})
