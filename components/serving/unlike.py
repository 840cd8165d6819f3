"""Describes images that look unlike a model's training images."""

from collections.abc import Sequence

from components.runtime.wording import count_of, first_of

# With fewer samples, a share means little.
_MIN_SAMPLES = 20
# Expected of images like the training images: see `components.train.reference`.
_USUAL_SHARE = 0.01
_NUM_NAMED = 3


def describe_unlike(sample_ids: Sequence[str], num_unlike: int, num_samples: int) -> str:
    """A warning about samples that look unlike the training images.

    Args:
        sample_ids: The samples to name, at least one.
        num_unlike: How many samples looked unlike them so far.
        num_samples: How many samples there are so far.
    """
    words = f"{first_of(sample_ids, _NUM_NAMED)}: unlike the training images, so the predictions may be wrong"
    if num_samples < _MIN_SAMPLES:
        return words
    share = f"{num_unlike / num_samples:.1%}; usual is {_USUAL_SHARE:.0%}"
    return f"{words}. That is {num_unlike:,} of {count_of(num_samples, 'sample')}, {share}"
