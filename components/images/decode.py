"""Decodes the image files of a sample to the pixels of an example."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from components.artifacts.parameters import MIN_IMAGE_SIZE_PX, Levels, parse_intensity_range
from components.images.auto_range import spanned_levels
from components.images.channels import read_channel, read_only_channel
from components.images.grey_levels import to_8_bits
from components.images.image import BadImageError, Image
from components.images.plausibility import check_distinct, check_exposure
from components.images.reader import read_image

# Beyond this, too much of the image is outside the central square.
_MAX_ASPECT = 1.5


@dataclass(frozen=True)
class Reading:
    """How image files become 8-bit channels: the same for a model's training and its predictions.

    Attributes:
        channels: Filter and channel, by name or position, if one file holds all channels. Empty: each filter has a file.
        intensity_range: The grey levels `LOW:HIGH` that become 0 and 255, or such a range for each stain, separated by commas.
            Empty: the whole range of 8 bits.
        projection: How a stack becomes one plane: see `components.images.channels.project`.
        stains: The stains that `intensity_range` has ranges for, in order. Not needed if it has one for all.
        is_reduced: Whether planes of more than 8192 px per side are downsampled by averaging, which saves memory.
    """

    channels: tuple[tuple[str, str], ...] = ()
    intensity_range: str = ""
    projection: str = ""
    stains: tuple[str, ...] = ()
    is_reduced: bool = True

    def levels(self, stain: str) -> Levels | None:
        """The grey levels of a stain that become 0 and 255; None for the whole range of 8 bits."""
        ranges = parse_intensity_range(self.intensity_range)
        if len(ranges) > 1:
            return dict(zip(self.stains, ranges, strict=True))[stain]
        return ranges[0] if ranges else None


DEFAULT_READING = Reading()


def sample_pixels(
    files: Mapping[str, bytes], filters: Sequence[str], image_size_px: int, reading: Reading = DEFAULT_READING
) -> np.ndarray:
    """Decodes, checks and resizes a sample's filters: `decode_filters` followed by `stack_filters`.

    Args:
        files: The image file of each filter.
        filters: The filters to use as channels, in order.
        image_size_px: The side of the square result.
        reading: How files become 8-bit channels.

    Returns:
        uint8, shape (image_size_px, image_size_px, channels).

    Raises:
        BadImageError: If the sample cannot be used.
    """
    return stack_filters(decode_filters(files, filters, reading), image_size_px)


@dataclass(frozen=True)
class DecodedSample:
    """The filters of a sample.

    Attributes:
        planes: uint8, shape (height, width), one for each filter.
        pixel_size_um: The width of a pixel in the files in micrometres; None if they do not give it.
        reduction: The factor by which each side was downsampled.
    """

    planes: list[np.ndarray]
    pixel_size_um: float | None
    reduction: int = 1

    @property
    def width_um(self) -> float | None:
        """The width of the central square in micrometres, which is all that an example shows; None if it is unknown."""
        return self.pixel_size_um * self.reduction * min(self.planes[0].shape) if self.pixel_size_um else None


def decode_filters(files: Mapping[str, bytes], filters: Sequence[str], reading: Reading = DEFAULT_READING) -> list[np.ndarray]:
    """The planes of `decode_sample`: uint8, shape (height, width), one for each filter."""
    return decode_sample(files, filters, reading).planes


def decode_sample(files: Mapping[str, bytes], filters: Sequence[str], reading: Reading = DEFAULT_READING) -> DecodedSample:
    """Decodes and checks a sample's filters.

    Args:
        files: The image file of each filter: the same one for all if it holds all channels.
        filters: The filters to decode.
        reading: How files become 8-bit channels.

    Raises:
        BadImageError: If a filter is missing, cannot be decoded, is black or saturated, or equals another.
    """

    def decode(image: Image, name: str) -> np.ndarray:
        plane = decode_plane(image, name, reading)
        try:
            check_exposure(plane)
        except BadImageError as error:
            levels = reading.levels(name)
            scaled = f" (with intensity_range={levels[0]:g}:{levels[1]:g})" if levels else ""
            raise BadImageError(f"{error}{scaled}") from None
        return plane

    return _read_planes(files, filters, reading, decode)


def measure_sample(
    files: Mapping[str, bytes], filters: Sequence[str], reading: Reading = DEFAULT_READING
) -> tuple[list[np.ndarray], list[Levels]]:
    """Decodes a sample's filters with their stored grey levels, for `intensity_range=auto`.

    Args:
        files: See `decode_sample`.
        filters: The filters to decode.
        reading: How files are read; `intensity_range` is ignored.

    Returns:
        The filters, each of shape (height, width) in the file's own type, and the levels of each: see `spanned_levels`.

    Raises:
        BadImageError: If a filter is missing, cannot be decoded, has a single grey level, or equals another.
    """
    levels: list[Levels] = []

    def measure(image: Image, name: str) -> np.ndarray:
        plane = _stored_plane(image, name, reading)
        levels.append(spanned_levels(plane))
        return plane

    return _read_planes(files, filters, reading, measure).planes, levels


def _read_planes(
    files: Mapping[str, bytes], filters: Sequence[str], reading: Reading, decode: Callable[[Image, str], np.ndarray]
) -> DecodedSample:
    """Decodes the filters, each file once."""
    planes: dict[str, np.ndarray] = {}
    opened: dict[int, Image] = {}
    pixel_size_um = None
    reduction = 1
    for name in filters:
        if name not in files:
            raise BadImageError(missing_filter(name))
        try:
            image = opened.get(id(files[name])) or read_image(files[name], reading.is_reduced)
            if reading.channels:
                opened[id(files[name])] = image
            pixel_size_um = pixel_size_um or image.pixel_size_um
            reduction = image.reduction
            planes[name] = decode(image, name)
        except BadImageError as error:
            raise BadImageError(f"the {name} filter is {error}", name) from None
    check_distinct(planes)
    return DecodedSample(list(planes.values()), pixel_size_um, reduction)


def missing_filter(name: str) -> str:
    """The reason why a sample without this filter cannot be used."""
    return f"the {name} filter is missing"


def decode_plane(image: Image, name: str, reading: Reading) -> np.ndarray:
    """Decodes a filter, without checks of its content.

    Args:
        image: The file.
        name: The filter.
        reading: How files become 8-bit channels.

    Returns:
        uint8, shape (height, width).

    Raises:
        BadImageError: If it cannot be decoded.
    """
    return to_8_bits(_stored_plane(image, name, reading), reading.levels(name))


def _stored_plane(image: Image, name: str, reading: Reading) -> np.ndarray:
    """A filter with its stored grey levels."""
    channels = dict(reading.channels)
    if not channels:
        return read_only_channel(image, name, reading.projection)
    if name in channels:
        return read_channel(image, channels[name], reading.projection)
    raise BadImageError("not named in filters: say which channel it is")


def stack_filters(images: Sequence[np.ndarray], image_size_px: int) -> np.ndarray:
    """Resizes a sample's filters and stacks them as the channels of one image.

    Filters that are not quite square are cropped to the central square, so that cells keep their shape. Resizing averages areas
    (OpenCV's INTER_AREA) to avoid aliasing.

    Args:
        images: uint8, shape (height, width), one for each channel.
        image_size_px: The side of the square result.

    Returns:
        uint8, shape (image_size_px, image_size_px, channels).

    Raises:
        BadImageError: If the filters differ in size, are far from square, or are smaller than the result.
    """
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        sizes = ", ".join(f"{width} x {height}" for height, width in sorted(shapes))
        raise BadImageError(f"filters of different sizes: {sizes} pixels")
    height, width = shapes.pop()
    side = min(height, width)
    if max(height, width) > _MAX_ASPECT * side:
        raise BadImageError(
            f"{width} x {height} pixels: too far from square, as only the middle square is used. Cut it into "
            "squares: `python -m pipeline prepare FOLDER OUT --tiles 1`"
        )
    if side < image_size_px:
        advice = (
            f"Give image_size_px={side} or less"
            if side >= MIN_IMAGE_SIZE_PX
            else f"No network here takes less than {MIN_IMAGE_SIZE_PX}"
        )
        raise BadImageError(f"{width} x {height} pixels: smaller than image_size_px={image_size_px}. {advice}")
    top, left = (height - side) // 2, (width - side) // 2
    squares = [image[top : top + side, left : left + side] for image in images]
    size = (image_size_px, image_size_px)
    # OpenCV resizes up to four channels at once.
    parts = [cv2.resize(cv2.merge(squares[k : k + 4]), size, interpolation=cv2.INTER_AREA) for k in range(0, len(squares), 4)]
    return np.dstack(parts)
