import numpy as np
import pytest
from made_up import NAMES, gallery

from olrsearch.core.errors import QueryError, UnknownImageError, UnknownLabelError, VectorError
from olrsearch.maths.metric import fit_metric
from olrsearch.search.index.label import LabelIndex, LabelIndexes
from olrsearch.search.similar import Target, compose, prototype, similar


@pytest.fixture(scope="module")
def made():
    return gallery(120, parts=(0.5, 0.5), deleted={3, 5, 8})


@pytest.fixture(scope="module")
def indexes(made):
    return LabelIndexes(made.view, fit_metric(made.all(), "l2", form="standardised"))


def ask(made, indexes, *, exclude=(), count=10, **what):
    return similar(indexes, made.names, compose(made.view, made.names, **what), exclude=exclude, count=count)


def test_an_image_is_its_own_nearest_unless_excluded(made, indexes):
    image = int(made.view.ids[17])
    page = ask(made, indexes, like=image)
    assert page.ids[0] == image
    assert page.distances[0] == pytest.approx(0, abs=1e-5)
    assert page.query == "all labels"
    without = ask(made, indexes, like=image, exclude={image, 3, 100_000})
    assert without.ids.tolist() == ask(made, indexes, like=image, count=11).ids[1:].tolist()
    assert without.candidates == len(made.view) - 1


def test_whole_embedding_is_the_sum_of_scaled_label_distances(made, indexes):
    image = int(made.view.ids[17])
    page = ask(made, indexes, like=image, count=200)
    whole, metric = made.all(), indexes.metric
    expected = sum(metric.distances(whole[n, 17], whole[n], n) / metric.scale[n] for n in range(5))
    order = np.lexsort((made.view.ids, expected))
    assert page.ids.tolist() == made.view.ids[order].tolist()
    np.testing.assert_allclose(page.distances, expected[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by", [None, "smiling", ["smiling", "wavy-hair"], {"Smiling": 2.0, "male": 0.5}])
def test_contributions_add_up_to_the_score(made, indexes, by):
    page = ask(made, indexes, like=int(made.view.ids[4]), by=by, count=20)
    labels = {None: 5, "smiling": 1}.get(by) if not isinstance(by, list | dict) else 2
    for distance, parts in zip(page.distances, page.contributions, strict=True):
        assert len(parts) == labels
        assert sum(part.value for part in parts) == pytest.approx(-distance, rel=1e-5, abs=1e-5)
        assert all(part.probability is None for part in parts)


def test_by_reads_the_labels_named_and_no_other(made, indexes):
    image = int(made.view.ids[4])
    page = ask(made, indexes, like=image, by={"Smiling": 2.0, "male": 0.5}, count=200)
    whole, metric = made.all(), indexes.metric
    first, second = metric.distances(whole[0, 4], whole[0], 0), metric.distances(whole[2, 4], whole[2], 2)
    expected = 2 * first / first.std() + 0.5 * second / second.std()
    np.testing.assert_allclose(page.distances, np.sort(expected), rtol=1e-5, atol=1e-6)
    assert page.query == "Smiling^2, Male^0.5"
    assert [part.literal for part in page.contributions[0]] == ["Smiling^2", "Male^0.5"]


def test_this_ones_smile_with_that_ones_hair(made):
    first, second, third = (int(image) for image in made.view.ids[[4, 70, 9]])
    targets = compose(made.view, made.names, with_={"smiling": first, "wavy hair": second})
    assert [target.label for target in targets] == [0, 3]
    np.testing.assert_array_equal(targets[0].vector, made.view.embedding(first)[0])
    np.testing.assert_array_equal(targets[1].vector, made.view.embedding(second)[3])
    # On top of an image: its other labels stay.
    targets = compose(made.view, made.names, like=third, with_={"wavy hair": second})
    assert [target.label for target in targets] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(targets[3].vector, made.view.embedding(second)[3])
    np.testing.assert_array_equal(targets[2].vector, made.view.embedding(third)[2])
    targets = compose(made.view, made.names, like=third, by={"Male": 3.0}, with_={"Wavy_Hair": second})
    assert [(target.label, target.weight) for target in targets] == [(2, 3.0), (3, 1.0)]
    targets = compose(made.view, made.names, by={"Wavy_Hair": 4.0}, with_={"Wavy_Hair": second})
    assert [(target.label, target.weight) for target in targets] == [(3, 4.0)]


def test_compositions_are_found_by_both_labels(made, indexes):
    first, second = int(made.view.ids[4]), int(made.view.ids[70])
    page = ask(made, indexes, with_={"smiling": first, "wavy hair": second}, count=200)
    whole, metric = made.all(), indexes.metric
    smile, hair = metric.distances(whole[0, 4], whole[0], 0), metric.distances(whole[3, 70], whole[3], 3)
    expected = smile / smile.std() + hair / hair.std()
    np.testing.assert_allclose(page.distances, np.sort(expected), rtol=1e-5, atol=1e-6)


def test_a_strong_exemplar_of_one_label_does_not_rule_another(made):
    metric = fit_metric(made.all(), "ip", form="centred")
    indexes = LabelIndexes(made.view, metric)
    smile, hair = (
        made.view.embedding(int(made.view.ids[4]))[0],
        made.view.embedding(int(made.view.ids[70]))[3],
    )
    louder = metric.mean[3] + 50 * (hair - metric.mean[3])
    quiet = ask(made, indexes, with_={"smiling": smile, "wavy hair": hair}, count=200)
    loud = ask(made, indexes, with_={"smiling": smile, "wavy hair": louder}, count=200)
    assert quiet.ids.tolist() == loud.ids.tolist()
    np.testing.assert_allclose(
        quiet.distances - quiet.distances[0], loud.distances - loud.distances[0], atol=1e-3
    )


def test_vectors_and_embeddings_from_outside_the_store(made, indexes):
    outside = made.view.embedding(int(made.view.ids[6])) + np.float32(0.01)
    assert ask(made, indexes, like=outside).ids[0] == made.view.ids[6]
    assert (
        ask(made, indexes, with_={"male": outside}).ids.tolist()
        == ask(made, indexes, with_={"male": outside[2]}).ids.tolist()
    )
    zero = np.zeros(4, np.float32)
    removed = ask(made, indexes, with_={"wearing hat": zero})
    lengths = np.linalg.norm(made.all()[4] / indexes.metric.deviation[4], axis=1)
    assert removed.ids[0] == made.view.ids[np.argmin(lengths)]


def test_prototypes_are_means_of_the_images_with_the_label(made):
    mean = prototype(made.view, made.labels, 3)
    np.testing.assert_allclose(mean, made.all()[3][made.labels[:, 3] > 0].mean(axis=0), rtol=1e-5)
    with pytest.raises(QueryError, match="no image"):
        prototype(made.view, -np.ones_like(made.labels), 3)


class Reversed(LabelIndex):
    """An index that answers the opposite of the truth."""

    def distances(self, query):
        return 1000 - super().distances(query)


def test_similarity_queries_go_through_the_label_index(made):
    """Whoever bypasses the label index does not see that one of them turned round."""
    metric = fit_metric(made.all(), "l2", form="standardised")
    image = int(made.view.ids[4])

    def ranked(turned, **what):
        found = LabelIndexes(made.view, metric)
        truthful = found.of
        found.of = lambda label: Reversed(made.view, metric, label) if label == turned else truthful(label)
        return ask(made, found, like=image, count=200, **what).ids.tolist()

    truth = ranked(None, by="smiling")
    assert ranked(0, by="smiling")[-1] == truth[0] == image
    assert ranked(3, by="smiling") == truth
    assert ranked(0, by=["smiling", "male"]) != ranked(None, by=["smiling", "male"])
    assert ranked(3) != ranked(None)
    assert ranked(3, by=["smiling"], with_={"wavy hair": 0 + image}) != ranked(
        None, by=["smiling"], with_={"wavy hair": image}
    )


def test_a_query_sees_what_the_segment_of_its_label_holds():
    made = gallery(60)
    metric = fit_metric(made.all(), "l2", form="plain")
    image = int(made.view.ids[4])
    before = ask(made, LabelIndexes(made.view, metric), like=image, by="smiling", count=60).ids.tolist()
    other = ask(made, LabelIndexes(made.view, metric), like=image, by="male", count=60).ids.tolist()
    held = made.view.parts[0].embeddings
    held[0] = held[0, ::-1].copy()
    after = LabelIndexes(made.view, metric)
    assert ask(made, after, like=image, by="male", count=60).ids.tolist() == other
    assert ask(made, after, like=image, by="smiling", count=60).ids.tolist() != before


def test_pages_cut_offs_and_filters(made, indexes):
    targets = compose(made.view, made.names, like=int(made.view.ids[4]))
    whole = similar(indexes, made.names, targets, count=200)
    page = similar(indexes, made.names, targets, count=7, offset=5)
    assert page.ids.tolist() == whole.ids[5:12].tolist()
    assert page.first_rank == 6
    cut = similar(indexes, made.names, targets, count=50, min_score=-whole.distances[9])
    assert cut.ids.tolist() == whole.ids[:10].tolist()
    assert cut.total == 10
    allowed = np.zeros(len(made.view), bool)
    allowed[:20] = True
    before = allowed.copy()
    kept = similar(indexes, made.names, targets, count=50, allowed=allowed, exclude=[int(made.view.ids[4])])
    assert set(kept.ids.tolist()) == set(made.view.ids[:20].tolist()) - {int(made.view.ids[4])}
    np.testing.assert_array_equal(allowed, before)


def test_errors(made, indexes):
    image = int(made.view.ids[0])
    vector = np.zeros(4, np.float32)
    for what, error, message in [
        ({}, QueryError, "needs an image"),
        ({"like": image, "by": "smilling"}, UnknownLabelError, "Smiling"),
        ({"like": image, "by": []}, QueryError, "at least one"),
        ({"like": image, "by": ["male", "male"]}, QueryError, "twice"),
        ({"like": image, "by": ["male", "MALE"]}, QueryError, "twice"),
        ({"like": image, "by": {"male": 0.0}}, QueryError, "above 0"),
        ({"like": 3}, UnknownImageError, "image 3"),
        ({"with_": {"male": 99_999}}, UnknownImageError, "99999"),
        ({"with_": {"male": vector[:3]}}, VectorError, "expected"),
        ({"with_": {"male": vector * np.nan}}, VectorError, "Male"),
        ({"with_": {"male": vector}, "by": ["smiling"]}, QueryError, "no image to take Smiling"),
        ({"like": np.zeros((4, 4), np.float32)}, VectorError, "expected"),
    ]:
        with pytest.raises(error, match=message):
            ask(made, indexes, **what)
    with pytest.raises(VectorError, match="twice"):
        similar(indexes, NAMES, [Target(0, vector), Target(0, vector)])
    with pytest.raises(QueryError, match="cut-off"):
        similar(indexes, NAMES, [Target(0, vector)], min_score=float("nan"))
