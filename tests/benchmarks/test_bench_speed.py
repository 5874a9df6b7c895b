"""`bench speed encoding`: engines compared on a store, as tables and as JSON."""

import json

from command import good, refused

from olrsearch.encoders.engines import engine as engines

RUN = ("-q", "bench", "speed", "encoding")


def test_engines_are_compared_on_the_stores_own_images(world, tmp_path):
    called = good(world.store, *RUN, "--json", "--seed", 1, "--out", tmp_path / "reports" / "p7")
    report = called.row
    assert report == json.loads((tmp_path / "reports" / "p7.json").read_text())
    assert (report["protocol"], report["seed"]) == ("P7", 1)
    assert report["command"] == "olrsearch bench speed encoding"
    assert report["data"]["images"] == 200
    assert 0 < report["data"]["gallery"] < 200
    results = report["results"]
    rows = {row["name"]: row for row in results["engines"]}
    assert {*rows, *results["missing"]} == set(engines.ENGINES)
    assert set(results["missing"]) <= {"torch-bf16"}  # not every processor has it
    assert next(iter(rows)) == "torch"
    assert (rows["torch"]["ratio"], rows["torch"]["error"], rows["torch"]["difference"]) == (1, 0, 0)
    for name in ("torch", "torch-folded", "onnx"):
        assert rows[name]["keeps"]
        assert rows[name]["error"] < 1e-4
        assert rows[name]["images_a_second"] > 0
    assert 1e-4 < rows["onnx-int8"]["error"] < 0.5
    assert results["default"] == "onnx"
    assert rows[results["fastest"]]["keeps"]
    assert results["timed"] == report["data"]["gallery"]
    assert all(value > 0 for value in results["pipeline"].values())
    text = (tmp_path / "reports" / "p7.md").read_text()
    for name in rows:
        assert f"| {name} " in text
    assert "Decoding beside the network, by onnx" in text


def test_encoders_with_one_way_to_compute_are_refused(gallery):
    line = refused(gallery.store, *RUN)
    assert "encoders of kind tiny have one way to compute" in line
    assert "--space" in line


def test_without_labels_or_gallery_there_is_nothing_to_rank(world, tmp_path):
    store = world.copy(tmp_path / "store")
    good(store, "delete", "--where", "partition != 'train'", "--yes")
    assert "0 val and test images" in refused(store, *RUN)
