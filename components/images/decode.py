"""From the image files of one sample to the pixels that are trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from components.artifacts.parameters import MIN_IMAGE_SIZE_PX
from components.images.channels import read_channel, read_only_channel
from components.images.grey_levels import to_8_bits
from components.images.image import BadImageError, Image
from components.images.plausibility import check_distinct, check_exposure
from components.images.reader import read_image

# Beyond this, too much lies outside of the middle square.
_MAX_ASPECT = 1.5


@dataclass(frozen=True)
class Reading:
    """How image files become 8-bit channels: the same for a model's training and its predictions.

    Attributes:
        channels: Filter and channel, by name or position, where one file holds all channels. Empty: each filter has a file.
        intensity_range: The grey levels `LOW:HIGH` that become 0 and 255. Empty: the whole range of 8 bits.
        projection: How a stack becomes one plane: see `components.images.channels.project`.
    """

    channels: tuple[tuple[str, str], ...] = ()
    intensity_range: str = ""
    projection: str = ""


DEFAULT_READING = Reading()


def sample_pixels(
    files: Mapping[str, bytes], filters: Sequence[str], image_size_px: int, reading: Reading = DEFAULT_READING
) -> np.ndarray:
    """Decodes, checks and resizes a sample's filters: `decode_filters` and `stack_filters` in one.

    Args:
        files: The image file of each filter.
        filters: The filters that become channels, in order.
        image_size_px: The side of the square result.
        reading: How files become 8-bit channels.

    Returns:
        uint8, image_size_px x image_size_px x channels.

    Raises:
        BadImageError: If the sample cannot be used.
    """
    return stack_filters(decode_filters(files, filters, reading), image_size_px)


@dataclass(frozen=True)
class DecodedSample:
    """The filters of a sample.

    Attributes:
        planes: uint8, height x width, one for each filter.
        pixel_size_um: The width of a pixel in micrometres, if a file says so.
    """

    planes: list[np.ndarray]
    pixel_size_um: float | None


def decode_filters(files: Mapping[str, bytes], filters: Sequence[str], reading: Reading = DEFAULT_READING) -> list[np.ndarray]:
    """As `decode_sample`: the planes alone."""
    return decode_sample(files, filters, reading).planes


def decode_sample(files: Mapping[str, bytes], filters: Sequence[str], reading: Reading = DEFAULT_READING) -> DecodedSample:
    """Decodes and checks a sample's filters, each once.

    Args:
        files: The image file of each filter: the same for all where one file holds all channels.
        filters: The filters that are wanted.
        reading: How files become 8-bit channels.

    Raises:
        BadImageError: If one is missing, cannot be decoded, is black or saturated, or shows the same as another.
    """
    images: dict[str, np.ndarray] = {}
    opened: dict[int, Image] = {}
    pixel_size_um = None
    for name in filters:
        if name not in files:
            raise BadImageError(f"the {name} filter is missing")
        try:
            image = opened.get(id(files[name])) or read_image(files[name])
            if reading.channels:
                opened[id(files[name])] = image
            pixel_size_um = pixel_size_um or image.pixel_size_um
            images[name] = decode_plane(image, name, reading)
            check_exposure(images[name])
        except BadImageError as error:
            scaled = f" (with intensity_range={reading.intensity_range})" if name in images and reading.intensity_range else ""
            raise BadImageError(f"the {name} filter is {error}{scaled}", name) from None
    check_distinct(images)
    return DecodedSample(list(images.values()), pixel_size_um)


def decode_plane(image: Image, name: str, reading: Reading) -> np.ndarray:
    """Decodes a filter, whatever it shows.

    Args:
        image: The file.
        name: The filter.
        reading: How files become 8-bit channels.

    Returns:
        uint8, height x width.

    Raises:
        BadImageError: If it cannot be decoded.
    """
    channels = dict(reading.channels)
    if not channels:
        plane = read_only_channel(image, name, reading.projection)
    elif name in channels:
        plane = read_channel(image, channels[name], reading.projection)
    else:
        raise BadImageError("not named in filters: say which channel it is")
    return to_8_bits(plane, reading.intensity_range)


def stack_filters(images: Sequence[np.ndarray], image_size_px: int) -> np.ndarray:
    """Resizes a sample's filters and makes them the channels of one image.

    Of filters that are not quite square, the square in the middle is taken: cells keep their shape. The resizing
    averages areas (OpenCV's INTER_AREA), as shrinking without aliasing wants.

    Args:
        images: uint8, height x width, one a channel.
        image_size_px: The side of the square result.

    Returns:
        uint8, image_size_px x image_size_px x channels.

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
    # OpenCV resizes at most four channels at once.
    parts = [cv2.resize(cv2.merge(squares[k : k + 4]), size, interpolation=cv2.INTER_AREA) for k in range(0, len(squares), 4)]
    return np.dstack(parts)
