"""An image file after its header was read: its planes, and how to decode each."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

# Beyond this, a header is a decompression bomb or damaged: cameras have up to 6000 pixels per side.
MAX_SIDE_PX = 8192


class BadImageError(ValueError):
    """An image cannot be used. The message is the reason shown in the quarantine.

    Attributes:
        filter_name: The filter at fault; empty if it is not a single one.
    """

    def __init__(self, reason: str, filter_name: str = "") -> None:
        super().__init__(reason)
        self.filter_name = filter_name


@dataclass(frozen=True)
class Image:
    """The planes of an image file. They are decoded one at a time, so that a stack takes the memory of a plane.

    Attributes:
        kind: The format in words, such as `16-bit TIFF`.
        channel_names: The name of each channel; empty if the file gives none.
        num_planes: How many planes each channel has, through depth and time.
        plane: Decodes the plane of a channel and a position in the stack, both counted from 0: shape (height, width), in the
            file's own type. Raises BadImageError if the file is damaged.
        pixel_size_um: The width of a pixel in micrometres; None if the file does not give it.
        is_colour: Whether the channels are red, green and blue, and possibly alpha.
        has_unnamed_pages: Whether the file does not say what its pages are. They are read as channels.
        reduction: The factor by which each side is downsampled.
    """

    kind: str
    channel_names: tuple[str, ...]
    num_planes: int
    plane: Callable[[int, int], np.ndarray]
    pixel_size_um: float | None = None
    is_colour: bool = False
    has_unnamed_pages: bool = False
    reduction: int = 1

    @property
    def kind_with_article(self) -> str:
        """The kind with its article, such as `a 16-bit TIFF`."""
        return f"{'an' if self.kind.startswith('8') else 'a'} {self.kind}"

    def as_stack(self) -> "Image":
        """The same image with unnamed pages read as a stack of one channel."""
        if not self.has_unnamed_pages:
            return self
        plane = self.plane
        return replace(self, channel_names=("",), num_planes=len(self.channel_names), plane=lambda _, number: plane(number, 0))


def check_sides(width: int, height: int, max_side_px: int) -> None:
    """Refuses an image that is too large, before it is decoded.

    Raises:
        BadImageError: If a side is beyond the limit of the format.
    """
    if not (0 < width <= max_side_px and 0 < height <= max_side_px):
        raise BadImageError(f"{width} x {height} pixels: expected sides of 1 to {max_side_px}")


def colour_names(num_samples: int) -> tuple[str, ...]:
    """The names of the samples of a pixel: grey, grey and alpha, RGB, or RGB and alpha."""
    known = {2: ("grey", "alpha"), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
    return known.get(num_samples, ("",) * num_samples)


def image_of_samples(kind: str, pixels: np.ndarray) -> Image:
    """Makes an image from decoded pixels.

    Args:
        kind: The format in words.
        pixels: Shape (height, width) or (height, width, samples).
    """
    planes = [pixels] if pixels.ndim == 2 else cv2.split(pixels)
    names = colour_names(len(planes))
    return Image(kind, names, 1, lambda channel, _: planes[channel], is_colour=len(planes) > 1)
