"""Detects images taken at another magnification."""

from collections.abc import Mapping

from components.runtime.wording import count_of, first_of

# Microscopes round the size that they write, and objectives of the same name differ by a few percent.
_MAX_DIFFERENCE = 0.1
_NUM_NAMED = 3


def differs_in_size(pixel_size_um: float, usual_um: float) -> bool:
    """Whether a pixel is more than a tenth larger or smaller than usual, both in micrometres."""
    return max(pixel_size_um, usual_um) > (1 + _MAX_DIFFERENCE) * min(pixel_size_um, usual_um)


def other_sizes(sizes_um: Mapping[str, float | None], usual_um: float | None) -> dict[str, float]:
    """The samples whose pixel size is unusual.

    Args:
        sizes_um: The width of a pixel of each sample in micrometres; None if it is unknown.
        usual_um: The pixel size in training; None if it is unknown.
    """
    sizes = sizes_um.items() if usual_um else ()
    return {sample_id: size for sample_id, size in sizes if size and usual_um and differs_in_size(size, usual_um)}


def describe_other_sizes(sizes_um: Mapping[str, float], usual_um: float | None) -> str:
    """A warning about the samples found by `other_sizes`, at least one."""
    named = first_of([f"{sample_id} ({size:.3g} µm)" for sample_id, size in sizes_um.items()], _NUM_NAMED)
    return (
        f"{count_of(len(sizes_um), 'sample')} with a pixel size that differs from training ({usual_um:.3g} µm), "
        f"so their predictions may be wrong: {named}"
    )
