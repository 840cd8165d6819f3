"""Synthetic samples to try the page with."""

from components.artifacts.labels import FILTERS
from components.serving.server.runner import LoadedVersion
from components.serving.server.uploads import UploadedSample
from components.synthetic.samples import SyntheticSample, render_sample

_NUM_EXAMPLES = 3


def has_examples(version: LoadedVersion) -> bool:
    """Whether the model takes what synthetic samples have: the stains of the atlas in 8 bits."""
    return set(version.form.filters) <= set(FILTERS) and not version.form.reading.intensity_range


def example_samples(version: LoadedVersion) -> list[UploadedSample]:
    """Renders a few samples, which takes some tenths of a second each."""
    return [_upload(render_sample(0, number), version) for number in range(_NUM_EXAMPLES)]


def _upload(sample: SyntheticSample, version: LoadedVersion) -> UploadedSample:
    return UploadedSample(sample.sample_id, {name: sample.pngs[name] for name in version.form.filters})
