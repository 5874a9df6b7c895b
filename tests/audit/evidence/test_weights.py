import json

import numpy as np
import pytest

from olrsearch.audit.evidence.combine import Combination
from olrsearch.audit.evidence.weights import BY_ANNOTATORS
from olrsearch.audit.scorers.registry import SCORERS
from olrsearch.core.errors import AuditError


def _evidence(**values):
    """One label of one image, by scorer; the others say nothing."""
    return {name: np.array([[values.get(name, np.nan)]], np.float32) for name in BY_ANNOTATORS.scorers}


def _present(given, **values):
    evidence = {name: np.tile(part, (1, 2)) for name, part in _evidence(**values).items()}
    # A second image keeps the label's frequency at one half.
    return BY_ANNOTATORS.present(evidence, np.array([[given], [-given]], np.int8), ["anything"])[0, 0]


def test_every_default_scorer_has_a_weight():
    assert set(BY_ANNOTATORS.scorers) == set(SCORERS)


def test_a_stored_value_stands_until_evidence_speaks_against_it():
    assert _present(1) > 0.7
    assert _present(-1) < 0.3
    assert _present(1) == pytest.approx(1 - _present(-1))  # either direction alike
    assert _present(1, probability=0.02, neighbours=0.02) < 0.5
    assert _present(1, probability=0.4) > 0.5


def test_a_twin_outweighs_what_the_picture_looks_like():
    assert _present(1, twins=0.1, probability=0.6) < _present(1, probability=0.1)


def test_it_survives_json():
    again = Combination.from_dict(json.loads(json.dumps(BY_ANNOTATORS.to_dict())))
    assert again.scorers == BY_ANNOTATORS.scorers
    assert np.array_equal(again.pooled, BY_ANNOTATORS.pooled)
    assert again.weight.shape == BY_ANNOTATORS.weight.shape


def test_fewer_scorers_share_what_the_others_weighed():
    fewer = BY_ANNOTATORS.restricted(["neighbours", "probability", "guesses"])
    assert fewer.scorers == ("neighbours", "probability", "guesses")
    total = BY_ANNOTATORS.pooled[:-3].sum()
    assert fewer.pooled[:-3].sum() == pytest.approx(total)
    assert fewer.pooled[1] / fewer.pooled[0] == pytest.approx(0.35 / 0.2)
    assert fewer.pooled[2] == 0
    assert np.array_equal(fewer.pooled[-3:], BY_ANNOTATORS.pooled[-3:])


def test_scorers_without_a_weight_are_refused():
    with pytest.raises(AuditError, match="say nothing of guesses"):
        BY_ANNOTATORS.restricted(["guesses"])
