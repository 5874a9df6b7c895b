"""Who is shown, in label tables of JSON lines."""

from __future__ import annotations

import pytest

from olrsearch.core.errors import LabelFileError
from olrsearch.datasets.label_table import read_label_table


def table(tmp_path, *identities: str):
    path = tmp_path / "labels.jsonl"
    lines = (
        f'{{"image": "{at}.jpg", "identity": {who}, "labels": {{}}}}' for at, who in enumerate(identities)
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_label_table(path)


@pytest.mark.parametrize("odd", ["1e400", "-1e400", "Infinity", "true", "false", "1e30", "1.5"])
def test_what_is_no_person_is_refused_with_its_line(tmp_path, odd):
    with pytest.raises(LabelFileError, match="line 2"):
        table(tmp_path, "7", odd)


def test_whole_numbers_and_names_are_people(tmp_path):
    assert table(tmp_path, "7", "8.0", "null", "NaN").identities == {"0.jpg": 7, "1.jpg": 8}
    assert table(tmp_path, "7", '"ann"').identities == {"0.jpg": "7", "1.jpg": "ann"}
