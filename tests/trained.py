"""A training run as `olrsearch train` leaves it, for encoders that were fitted without one."""

import json

import numpy as np

from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.store import Backend

SETTINGS = {"k": "6", "occlusion": "0.2,0.4", "flip": "false", "seed": "4"}


def add_run(store, *, name="olr-made", selection=3, **record):
    """Give the newest space of a store a run that held back every so many of the training images."""
    with Backend.open(store) as backend:
        snapshot = backend.snapshot()
        info = snapshot.space()
        ids = snapshot.image_ids()
        ids = ids[snapshot.columns(ids, ("partition",))["partition"] == "train"]
        labels = snapshot.labels(ids, info.labels)
    run = store / "runs" / name
    run.mkdir(parents=True)
    np.save(run / "ids.npy", ids)
    np.save(run / "labels.npy", labels)
    np.save(run / "selection.npy", np.arange(len(ids)) % selection == 0)
    config = OlrConfig.of_profile("tiny", info.labels).with_overrides(SETTINGS)
    made = {
        "kind": "olr",
        "config": config.to_dict(),
        "teacher": None,
        "fingerprint": info.fingerprint,
        "seconds": {"teacher": 30.0, "siamese": 90.0},
    }
    (run / "run.json").write_text(json.dumps({**made, **record}))
    return run
