"""What an encoder reads in pictures that its decoder made.

Notation: m pictures, W own words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.evaluation.looks.imagined import ReadWord

if TYPE_CHECKING:
    from olrsearch.core.arrays import U8
    from olrsearch.encoders.protocol import PosteriorEncoder
    from olrsearch.search.spaces.posteriors import OpenPosteriors

_WORDS: Final = 3
"""Words named of a picture, at most: those that are more likely than not, and always the likeliest.

Ratios that are not calibrated say no more than an order: then the likeliest alone.
"""


def read_words(opened: OpenPosteriors, encoder: PosteriorEncoder, pictures: U8) -> list[tuple[ReadWord, ...]]:
    """The likeliest own words of made pictures, by encoding them as any image.

    Args:
        opened: The space.
        encoder: Its encoder.
        pictures: uint8 [m, H, W, 3], as it decoded them.
    """
    from olrsearch.datasets.images import to_array
    from olrsearch.maths.calibration import log_sigmoid
    from olrsearch.search.kl.view import PlainPosteriors
    from olrsearch.search.kl.word_scores import compute_ratios

    seen = pictures
    if pictures.shape[1:3] != tuple(encoder.input_size):
        from PIL import Image

        # The decoder draws what is left after cropping, so that nothing is to be cropped again.
        seen = np.stack([to_array(Image.fromarray(one), encoder.input_size, "none") for one in pictures])
    made = encoder.encode(seen)
    posteriors = PlainPosteriors(np.arange(len(pictures), dtype=np.int64), made.mean, made.factor)
    ratios = compute_ratios(posteriors, opened.vocabulary.scored).own.astype(np.float64)
    calibration, names = opened.calibration, opened.vocabulary.names
    logits = ratios * calibration.slope[:, None] + calibration.offset[:, None]
    chances = np.exp(log_sigmoid(logits))
    stored = opened.info.calibration is not None
    calibrated = np.array([stored and name not in calibration.uncalibrated for name in names])
    found = []
    for picture in range(len(pictures)):
        order = np.argsort(-logits[:, picture], kind="stable")[:_WORDS]
        likely = [word for word in order if calibrated[word] and chances[word, picture] >= 0.5]
        found.append(
            tuple(
                ReadWord(
                    names[word],
                    float(chances[word, picture]) if calibrated[word] else None,
                    float(ratios[word, picture]),
                )
                for word in likely or [order[0]]
            )
        )
    return found
