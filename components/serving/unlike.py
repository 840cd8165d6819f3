"""Words about images that look unlike those that a model was trained on."""

from collections.abc import Sequence

from components.runtime.wording import count_of, first_of

# Of images like those of the training: see `components.train.reference`.
_USUAL_SHARE = 0.01
_NUM_NAMED = 3


def describe_unlike(sample_ids: Sequence[str], num_unlike: int, num_samples: int) -> str:
    """A warning of samples that look unlike the training images, at least one.

    Args:
        sample_ids: Those to name.
        num_unlike: How many such samples there are so far.
        num_samples: How many samples there are so far.
    """
    return (
        f"{first_of(sample_ids, _NUM_NAMED)}: unlike the training images, so the predictions may be wrong. That is "
        f"{num_unlike:,} of {count_of(num_samples, 'sample')}, {num_unlike / num_samples:.1%}; usual is {_USUAL_SHARE:.0%}"
    )
