"""Words about images that look unlike those that a model was trained on."""

from collections.abc import Sequence

from components.runtime.wording import count_of, first_of

# Of images like those of the training: see `components.train.reference`.
_USUAL_SHARE = 0.01
_NUM_NAMED = 3


def describe_unlike(sample_ids: Sequence[str], num_samples: int) -> str:
    """Says how many samples look unlike the training images, at least one.

    Args:
        sample_ids: Those that do.
        num_samples: How many there are in all.
    """
    return (
        f"{count_of(len(sample_ids), 'sample')} of {num_samples} ({len(sample_ids) / num_samples:.1%}; usual is "
        f"{_USUAL_SHARE:.0%}) unlike the training images, so their predictions may be wrong: {first_of(sample_ids, _NUM_NAMED)}"
    )
