"""Synthetic samples to try the page with."""

from functools import cache

from components.artifacts.labels import FILTERS
from components.serving.server.runner import LoadedVersion
from components.serving.server.uploads import UploadedSample
from components.synthetic.samples import render_sample

_NUM_EXAMPLES = 3


def has_examples(version: LoadedVersion) -> bool:
    """Whether the model accepts synthetic samples, which have the stains of the atlas in 8 bits."""
    return set(version.form.filters) <= set(FILTERS) and not version.form.reading.intensity_range


@cache
def example_samples(filters: tuple[str, ...]) -> list[UploadedSample]:
    """Renders a few samples, in some tenths of a second each.

    Args:
        filters: Their stains, a subset of the atlas's.
    """
    samples = [render_sample(0, number) for number in range(_NUM_EXAMPLES)]
    return [UploadedSample(sample.sample_id, {name: sample.pngs[name] for name in filters}) for sample in samples]
