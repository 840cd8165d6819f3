"""Whether images were taken at another magnification."""

# Microscopes round the size that they write, and objectives of one name differ by a few percent.
_MAX_DIFFERENCE = 0.1


def differs_in_size(pixel_size_um: float, usual_um: float) -> bool:
    """Whether a pixel is more than a tenth larger or smaller than usual, both in micrometres."""
    return max(pixel_size_um, usual_um) > (1 + _MAX_DIFFERENCE) * min(pixel_size_um, usual_um)
