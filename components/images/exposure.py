"""Warns about images that can be used but look wrong: dark, flat, on an offset, saturated, or unlike the rest of their set.

Good images stay within the limits. In 64 real samples of the atlas at 75, 200 and 512 px, the 99.9th percentile of each filter
is at grey level 21 or more, and at least 21 levels above the first percentile, which is at most 27; at most 4 % of the pixels
are at the end of the scale; and the 99.9th percentile is at least a sixth of the set's median.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.images.intensity import NUM_LEVELS
from components.runtime.wording import first_of

_MIN_BRIGHT_LEVEL = 17
_MAX_DARK_LEVEL = 40
_MIN_CONTRAST = 16
_MAX_SATURATED_SHARE = 0.1
_MAX_RATIO = 10
# With fewer images, the median says little about the set.
_MIN_IMAGES = 8
_NUM_NAMED = 3

_SCALING = "Set intensity_range to the grey levels that your files use, unless they are meant to look so"
_ADVICE = {
    "nearly black": f"99.9 % of the pixels are below grey level {_MIN_BRIGHT_LEVEL} of 255. {_SCALING}",
    "saturated": f"more than {_MAX_SATURATED_SHARE:.0%} of the pixels are at the end of the scale. Raise the upper end of "
    "intensity_range, or expose more briefly",
    "on an offset": f"fewer than 1 % of the pixels are below grey level {_MAX_DARK_LEVEL} of 255. {_SCALING}",
    "low in contrast": f"nearly all pixels lie within {_MIN_CONTRAST} of 255 grey levels. {_SCALING}",
    "unlike the others": f"more than {_MAX_RATIO} times as bright or as dark as the median of the set. Check how they were "
    "exposed, and that all files are of one kind",
}


@dataclass(frozen=True)
class ExposureWarning:
    """Images of one channel that look wrong in the same way.

    Attributes:
        channel: The channel.
        problem: What is wrong, such as `nearly black`.
        sample_ids: The samples, sorted.
        num_samples: How many samples were checked.
    """

    channel: str
    problem: str
    sample_ids: tuple[str, ...]
    num_samples: int

    def __str__(self) -> str:
        num, named = len(self.sample_ids), first_of(self.sample_ids, _NUM_NAMED)
        return f"{self.channel}: {num} of {self.num_samples} images look {self.problem} ({named}): {_ADVICE[self.problem]}."


def exposure_warnings(histograms: Mapping[str, np.ndarray], channels: Sequence[str]) -> list[ExposureWarning]:
    """Finds images that are badly exposed or scaled.

    Args:
        histograms: The histogram of each sample's grey levels: integer counts, shape (channels, bins), in bins of equal width
            from 0 to 255.
        channels: The names of the channels.

    Returns:
        One warning for each channel and problem found. If an image has several problems in a channel, only the first in the
        order of `_ADVICE` is reported.
    """
    if not histograms:
        return []
    ids = sorted(histograms)
    warnings = []
    for position, channel in enumerate(channels):
        problems = _problems(np.stack([histograms[sample_id][position] for sample_id in ids]))
        for problem in _ADVICE:
            found = tuple(sample_id for sample_id, its in zip(ids, problems, strict=True) if its == problem)
            if found:
                warnings.append(ExposureWarning(channel, problem, found, len(ids)))
    return warnings


def _problems(histograms: np.ndarray) -> np.ndarray:
    """The problem of each image, or an empty string: shape (images,), from histograms of shape (images, bins)."""
    shares = np.cumsum(histograms, axis=1) / histograms.sum(axis=1, keepdims=True)
    width = NUM_LEVELS // histograms.shape[1]
    dark = (shares >= 0.01).argmax(axis=1) * width
    bright = (shares >= 0.999).argmax(axis=1) * width
    saturated = histograms[:, -1] / histograms.sum(axis=1) > _MAX_SATURATED_SHARE
    brightness = np.maximum(bright, 1)
    ratio = brightness / np.median(brightness)
    is_odd = (ratio > _MAX_RATIO) | (ratio < 1 / _MAX_RATIO) if len(histograms) >= _MIN_IMAGES else np.zeros(len(ratio), bool)
    applies = [bright < _MIN_BRIGHT_LEVEL, saturated, dark >= _MAX_DARK_LEVEL, bright - dark < _MIN_CONTRAST, is_odd]
    return np.select(applies, list(_ADVICE), default="")
