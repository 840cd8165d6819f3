"""Reads the plane of a filter from an image file: its channel by name or position, projected through depth and time."""

from collections.abc import Sequence

import cv2
import numpy as np

from components.artifacts.parameters import PROJECTIONS
from components.images.image import BadImageError, Image


def read_channel(image: Image, wanted: str, projection: str) -> np.ndarray:
    """Decodes one channel of a multi-channel file.

    Args:
        image: The file.
        wanted: The channel's name in the file, case-insensitive; or its position, counted from 0, if no channel has that name.
        projection: How a stack becomes one plane.

    Returns:
        Shape (height, width), from `project`.

    Raises:
        BadImageError: If there is no such channel, or several. The message lists the channels.
    """
    names = [name.casefold() for name in image.channel_names]
    found = [number for number, name in enumerate(names) if name == wanted.casefold()]
    if not found and wanted.isascii() and wanted.isdigit():
        found = [number for number in range(len(names)) if number == int(wanted)]
    if len(found) != 1:
        problem = "several channels are" if found else "no channel is"
        advice = f"The file has {_listed(image)}: name one of these in filters"
        if len(names) == 1:
            advice = "The file has one channel: if each stain has its own file, give a file_pattern with {filter}"
        raise BadImageError(f"not clear: {problem} called {wanted}. {advice}")
    return project(image, found[0], projection)


def read_only_channel(image: Image, filter_name: str, projection: str) -> np.ndarray:
    """Decodes a file of one stain: greyscale, or in one colour, as on the atlas's website.

    Args:
        image: The file.
        filter_name: The filter that it shows.
        projection: How a stack becomes one plane.

    Returns:
        Shape (height, width), from `project`.

    Raises:
        BadImageError: If it shows several stains, or is partly transparent.
    """
    image = image.as_stack()
    num_channels = len(image.channel_names)
    if num_channels == 1:
        return project(image, 0, projection)
    if not image.is_colour:
        raise BadImageError(
            f"{image.kind_with_article} of several channels. Leave {{filter}} out of file_pattern, and name them in filters: "
            f"the file has {_listed(image)}"
        )
    planes = [project(image, channel, projection) for channel in range(num_channels)]
    if image.channel_names[-1] == "alpha":
        alpha = planes.pop()
        if not (alpha == _opaque(alpha.dtype)).all():
            raise BadImageError(f"{image.kind_with_article} that is partly transparent: save it without transparency")
    return _one_stain(image, planes, filter_name)


def _opaque(dtype: np.dtype) -> float:
    return 1.0 if dtype.kind == "f" else np.iinfo(dtype).max


def _one_stain(image: Image, planes: Sequence[np.ndarray], filter_name: str) -> np.ndarray:
    """The stain of a single-colour picture: its only channel, or grey, or yellow as equal red and green."""
    used = [plane for plane in planes if cv2.hasNonZero(plane)]
    alike = all(np.array_equal(used[0], other) for other in used[1:])
    if len(used) > 1 and not (alike and (len(used) == 3 or filter_name == "yellow")):
        raise BadImageError(
            f"{image.kind_with_article} that uses {len(used)} colours, so shows more than one stain: save a greyscale file for "
            "each, or leave {filter} out of file_pattern if each colour is a stain"
        )
    return used[0] if used else planes[0]


def project(image: Image, channel: int, projection: str) -> np.ndarray:
    """Decodes a channel, and projects a stack to one plane.

    Args:
        image: The file.
        channel: The channel, counted from 0.
        projection: `max`, `mean` (integers are rounded half up), `sum` (in 32 bits or more) or `middle`, the middle
            plane; of an even number, the upper of the two. Ignored for files with one plane.

    Returns:
        Shape (height, width), in the file's own type, except for a sum.

    Raises:
        BadImageError: If it is a stack and no projection is given.
    """
    num = image.num_planes
    if num == 1 or projection == "middle":
        return image.plane(channel, num // 2)
    if not projection:
        raise BadImageError(f"a stack of {num} planes: give projection={'|'.join(filter(None, PROJECTIONS))}")
    first = image.plane(channel, 0)
    if projection == "max":
        result = first.copy()
        for number in range(1, num):
            np.maximum(result, image.plane(channel, number), out=result)
        return result
    total = first.astype(_sum_type(first.dtype))
    for number in range(1, num):
        total += image.plane(channel, number)
    if projection == "sum":
        return total
    return (total / num).astype(first.dtype) if first.dtype.kind == "f" else np.floor(total / num + 0.5).astype(first.dtype)


def _sum_type(dtype: np.dtype) -> type[np.generic]:
    if dtype.kind == "f":
        return np.float64
    return np.uint32 if dtype.kind == "u" and dtype.itemsize < 4 else np.int64


def _listed(image: Image) -> str:
    """The channels of a file, such as `0 DAPI, 1 tubulin`."""
    return ", ".join(f"{number} {name}".strip() for number, name in enumerate(image.channel_names))
