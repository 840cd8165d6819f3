"""Warns of samples that were taken at another magnification than those of the training."""

from collections.abc import Mapping

from components.images.pixel_size import differs_in_size
from components.runtime.wording import count_of, first_of

_NUM_NAMED = 3


def other_sizes(sizes_um: Mapping[str, float | None], usual_um: float | None) -> dict[str, float]:
    """The samples of another pixel size than in training.

    Args:
        sizes_um: The width of a pixel of each sample in micrometres; None if it is unknown.
        usual_um: That of the training.
    """
    if not usual_um:
        return {}
    return {sample_id: size for sample_id, size in sizes_um.items() if size and differs_in_size(size, usual_um)}


def size_warning(others_um: Mapping[str, float], usual_um: float | None) -> str:
    """Names samples that `other_sizes` found: at least one."""
    named = first_of([f"{sample_id} ({size:.3g} µm)" for sample_id, size in others_um.items()], _NUM_NAMED)
    return (
        f"{count_of(len(others_um), 'sample')} with another pixel size than in training ({usual_um:.3g} µm), so their "
        f"predictions may be wrong: {named}"
    )
