"""Synthetic samples to try the page with."""

from functools import cache

from components.artifacts.labels import FILTERS
from components.serving.server.runner import LoadedVersion
from components.serving.server.uploads import UploadedSample
from components.synthetic.samples import render_sample

_NUM_EXAMPLES = 3


def has_examples(version: LoadedVersion) -> bool:
    """Whether the model takes what synthetic samples have: the stains of the atlas in 8 bits."""
    return set(version.form.filters) <= set(FILTERS) and not version.form.reading.intensity_range


@cache
def example_samples(filters: tuple[str, ...]) -> list[UploadedSample]:
    """Renders a few samples, which takes some tenths of a second each.

    Args:
        filters: Their stains, of those of the atlas.
    """
    samples = [render_sample(0, number) for number in range(_NUM_EXAMPLES)]
    return [UploadedSample(sample.sample_id, {name: sample.pngs[name] for name in filters}) for sample in samples]
