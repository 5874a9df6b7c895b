from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_up import gallery

from olrsearch.core.errors import IncompatibleEncoderError, QueryError, StoreCorruptError
from olrsearch.maths.calibration import Calibration
from olrsearch.search.index.scores import LabelScores, read_scores, write_scores
from olrsearch.search.query.ast import And, Literal, Not, Or, negation
from olrsearch.search.query.evaluate import evaluate, log1m_exp, log_either
from olrsearch.search.query.parser import parse

probabilities = st.floats(1e-12, 1 - 1e-12)
literals = st.builds(Literal, st.sampled_from("abc"))
nodes = st.recursive(
    literals,
    lambda inner: st.one_of(
        inner.map(negation),
        st.lists(inner, min_size=2, max_size=3).map(lambda c: And(tuple(c))),
        st.lists(inner, min_size=2, max_size=3).map(lambda c: Or(tuple(c))),
    ),
    max_leaves=8,
)


def value_of(node, logits):
    def literal(name, negate):
        logit = np.array([logits[name]])
        return -np.logaddexp(0, logit if negate else -logit)

    return evaluate(node, literal)


def by_hand(node, p):
    """Probability as the design says: product, De Morgan, complement at the literals."""
    if isinstance(node, Literal):
        return p[node.name] ** node.weight
    if isinstance(node, Not):
        inner = node.child
        if isinstance(inner, Literal):
            return (1 - p[inner.name]) ** inner.weight
        flip = Or if isinstance(inner, And) else And
        return by_hand(flip(tuple(negation(child) for child in inner.children)), p) ** inner.weight
    parts = [by_hand(child, p) for child in node.children]
    if isinstance(node, And):
        return np.prod(parts) ** node.weight
    return (1 - np.prod([1 - part for part in parts])) ** node.weight


@given(nodes, st.fixed_dictionaries({name: st.floats(-6, 6) for name in "abc"}))
def test_values_are_those_of_the_definition(node, logits):
    p = {name: 1 / (1 + np.exp(-z)) for name, z in logits.items()}
    value, terms = value_of(node, logits)
    assert np.exp(value[0]) == pytest.approx(by_hand(node, p), rel=1e-9, abs=1e-12)
    assert sum(term[1][0] for term in terms) == pytest.approx(value[0], rel=1e-12, abs=1e-15)


@given(nodes, st.fixed_dictionaries({name: st.floats(-1e30, 1e30) for name in "abc"}))
@example(parse("!c | !a | !a"), {"a": -39.0, "b": 0.0, "c": 1.0})
def test_finite_logits_never_give_infinite_values(node, logits):
    value, _ = value_of(node, logits)
    assert np.isfinite(value).all()
    assert (value <= 0).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", np.log(0.8)),
        ("!a", np.log(0.2)),
        ("a & b", np.log(0.8 * 0.5)),
        ("a | b", np.log(1 - 0.2 * 0.5)),
        ("!(a | b)", np.log(0.2 * 0.5)),
        ("!(a & b)", np.log(1 - 0.8 * 0.5)),
        ("a^2 & b", 2 * np.log(0.8) + np.log(0.5)),
        ("(a | b)^3", 3 * np.log(0.9)),
        ("!(a & b)^2", 2 * np.log(0.6)),
        ("a^2 | b", np.log(1 - (1 - 0.64) * 0.5)),
        ("(a & b)^2 | b", np.log(1 - (1 - 0.16) * 0.5)),
    ],
)
def test_known_values(text, expected):
    value, _ = value_of(parse(text), {"a": np.log(4), "b": 0.0})
    assert value[0] == pytest.approx(expected, rel=1e-12)


def test_either_is_precise_at_both_ends():
    tiny = [np.array([-800.0]), np.array([-801.0])]
    assert log_either(tiny)[0] == pytest.approx(-800 + np.log1p(np.exp(-1.0)), rel=1e-12)
    sure = [-np.logaddexp(0, -np.array([30.0])), -np.logaddexp(0, -np.array([25.0]))]
    assert log_either(sure)[0] == pytest.approx(-np.exp(-55.0), rel=1e-9)
    certain = [np.array([0.0]), np.array([-5.0])]
    assert log_either(certain)[0] == 0.0


@settings(max_examples=30)
@given(st.floats(-700, -1e-300))
def test_log_of_one_minus(value):
    with localcontext() as context:
        context.prec = 340
        expected = float((1 - Decimal(value).exp()).ln())
    assert log1m_exp(np.array([value]))[0] == pytest.approx(expected, rel=1e-12)


def test_negation_must_stand_on_literals_inside():
    assert isinstance(value_of(parse("!(a & !b)"), {"a": 1.0, "b": 2.0})[0], np.ndarray)


def scores(made, **changes):
    defaults = {"calibration": Calibration.identity(5)} | changes
    return LabelScores(made.view, made.readout, made.names, **defaults)


def test_raw_logits_span_parts_and_leave_the_deleted_out():
    whole = gallery(40)
    gone = set(whole.view.ids[:7].tolist())
    split = gallery(40, parts=(0.5, 0.3, 0.2), deleted=gone)
    expected = whole.readout.logits(whole.all())
    for label in range(5):
        np.testing.assert_allclose(scores(split).raw(label), expected[label][7:], rtol=1e-5, atol=1e-5)


def test_calibration_is_applied():
    made = gallery(20)
    fitted = Calibration(np.full(5, 2.0), np.full(5, -1.0))
    z = scores(made).raw(3).astype(np.float64)
    np.testing.assert_allclose(scores(made, calibration=fitted).logits(3), 2 * z - 1, rtol=1e-12)


def test_evidence():
    made = gallery(20)
    stored = made.labels.copy()
    stored[:5, 2] = 0
    predicted = scores(made).logits(2)
    shift = np.log(0.98 / 0.02)
    both = scores(made, evidence="both", stored=stored).logits(2)
    np.testing.assert_allclose(both, predicted + shift * stored[:, 2])
    alone = scores(made, evidence="labels", stored=stored)
    p = np.exp(alone.log_probability(2))
    present = stored[:, 2] > 0
    known = stored[:, 2] != 0
    np.testing.assert_allclose(p[present], 0.98)
    np.testing.assert_allclose(p[known & ~present], 0.02)
    np.testing.assert_allclose(p[~known], (present.sum() + 1) / (known.sum() + 2))
    np.testing.assert_allclose(np.exp(alone.literal_values()(made.names[2], True)), 1 - p)


def test_bad_arrays_are_named():
    made = gallery(20)
    with pytest.raises(QueryError, match="unknown evidence"):
        scores(made, evidence="guess")
    with pytest.raises(QueryError, match="needs stored labels"):
        scores(made, evidence="both")
    with pytest.raises(QueryError, match="20 images × 5 labels"):
        scores(made, evidence="both", stored=made.labels[:3])
    with pytest.raises(IncompatibleEncoderError, match="5 label names"):
        scores(made, calibration=Calibration.identity(4))


def test_kept_scores_are_those_computed(tmp_path):
    made = gallery(30, parts=(0.5, 0.5))
    path = tmp_path / "scores" / "aa.npy"
    first, second = made.view.parts
    write_scores(path, first, made.readout, segment="aa")
    kept = read_scores(path, first, made.readout, segment="aa")
    np.testing.assert_array_equal(kept, made.readout.logits(first.embeddings))
    doubled = scores(made, kept=[2 * np.asarray(kept), None])
    np.testing.assert_allclose(doubled.raw(1)[:15], 2 * scores(made).raw(1)[:15], rtol=1e-5)
    np.testing.assert_array_equal(doubled.raw(1)[15:], scores(made).raw(1)[15:])
    # Of another segment, readout or place they are not used, and computed again instead.
    assert read_scores(path, second, made.readout, segment="bb") is None
    assert read_scores(path, first, made.readout, segment="bb") is None
    other = type(made.readout)(made.readout.weight + 1, made.readout.bias)
    assert read_scores(path, first, other, segment="aa") is None
    assert read_scores(tmp_path / "none.npy", first, made.readout, segment="aa") is None
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreCorruptError, match="damaged"):
        read_scores(path, first, made.readout, segment="aa")
    np.save(path, np.zeros((5, 3), np.float32))
    with pytest.raises(StoreCorruptError, match="cut, swapped or damaged"):
        read_scores(path, first, made.readout, segment="aa")
    path.with_suffix(".json").write_text("{")
    assert read_scores(path, first, made.readout, segment="aa") is None


def test_alternatives_that_are_certain_stay_below_zero():
    # logaddexp of two nearly certain ones rounds to a little above 0, whose log(1 − e^x) is no number.
    values = [np.array([-2.775187969924812]), np.array([-1e-17]), np.array([-1.1e-17])]
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        found = log_either([values[place] for place in order])
        assert np.isfinite(found).all()
        assert (found <= 0).all()
