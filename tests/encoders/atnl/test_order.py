"""Orders among labels: what people write, where an image stands, what is refused."""

import numpy as np
import pytest

from olrsearch.core.errors import TrainingError, UnknownLabelError
from olrsearch.encoders.atnl.order import Order

LABELS = ("No_Beard", "Goatee", "Mustache", "5_o_Clock_Shadow", "Smiling")
BEARDS = ("No_Beard", "5 o clock shadow", "Goatee | mustache")


def test_the_highest_step_that_an_image_shows_counts():
    order = Order.read(BEARDS, LABELS)
    assert (len(order), order.columns) == (3, ((0,), (3,), (1, 2)))
    labels = np.array(
        [[1, -1, -1, -1, 1], [1, 0, 1, 1, -1], [-1, 0, 0, 1, 1], [-1, -1, -1, -1, 1], [0] * 5], np.int8
    )
    assert order.ranks(labels).tolist() == [0, 2, 1, -1, -1]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "have no order: name them .* with --order A,B,C"),
        (("Goatee",), "an order of one step, Goatee"),
        (("Goatee", "No_Beard", "goatee"), "names Goatee twice"),
        (("Goatee|", "No_Beard"), "expected a label, or labels with"),
    ],
)
def test_what_is_no_order_is_refused(steps, message):
    with pytest.raises(TrainingError, match=message):
        Order.read(steps, LABELS)


def test_unknown_labels_are_named():
    with pytest.raises(UnknownLabelError, match="did you mean Goatee"):
        Order.read(("No_Beard", "Goate"), LABELS)


def test_steps_need_examples():
    order = Order.read(("No_Beard", "Goatee", "Mustache"), LABELS)
    labels = -np.ones((6, 5), np.int8)
    labels[np.arange(5), [0, 0, 1, 1, 2]] = 1
    with pytest.raises(TrainingError, match=r"too few training images at Mustache \(1\)"):
        order.check(labels)
    labels[5, 2] = 1
    order.check(labels, gap=1)
    with pytest.raises(TrainingError, match="order of 2 steps no image is more than 1 step away"):
        Order.read(("No_Beard", "Goatee"), LABELS).check(labels, gap=1)
