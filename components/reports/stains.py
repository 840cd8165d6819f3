"""The colours of stains in pictures."""

import re
from collections.abc import Sequence

import numpy as np

Colour = tuple[int, int, int]

_NAMED: dict[str, Colour] = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
_GREY: Colour = (255, 255, 255)
_NUCLEUS = re.compile(r"dapi|\bdna\b|hoechst|nucle(us|i)", re.IGNORECASE)
# Other stains get these in order. Colour-blind people can distinguish green and magenta.
_PALETTE: dict[Colour, str] = {
    (0, 255, 0): "Green",
    (255, 0, 255): "Magenta",
    (255, 0, 0): "Red",
    (0, 255, 255): "Cyan",
    (255, 255, 0): "Yellow",
    (255, 128, 0): "Orange",
    (0, 0, 255): "Blue",
    _GREY: "Grey",
}
_ATLAS = {"red": "microtubules", "green": "the protein", "blue": "the nucleus", "yellow": "the endoplasmic reticulum"}


def stain_colours(names: Sequence[str]) -> tuple[Colour, ...]:
    """The colour of each stain: the one it is named after, blue for the nucleus, grey for a single stain.

    Args:
        names: One to eight different names, in any case.

    Returns:
        Different colours as red, green and blue, from 0 to 255.
    """
    if len(names) == 1:
        return (_GREY,)
    colours = {name: _NAMED[name.casefold()] for name in names if name.casefold() in _NAMED}
    nucleus = next((name for name in names if name not in colours and _NUCLEUS.search(name)), None)
    if nucleus and _NAMED["blue"] not in colours.values():
        colours[nucleus] = _NAMED["blue"]
    free = [colour for colour in _PALETTE if colour not in colours.values()]
    others = [name for name in names if name not in colours]
    colours |= dict(zip(others, free, strict=False))
    return tuple(colours[name] for name in names)


def legend(names: Sequence[str]) -> str:
    """The meaning of each colour, such as `Green: protein. Blue: DNA.`, or for the atlas `Red: microtubules.` and so on."""
    colours = [_PALETTE[colour] for colour in stain_colours(names)]
    return " ".join(f"{colour}: {_ATLAS.get(name, name)}." for colour, name in zip(colours, names, strict=True))


def stain_title(name: str) -> str:
    """The title of a filter: `red: microtubules` for one of the atlas, otherwise its name."""
    return f"{name}: {_ATLAS[name]}" if name in _ATLAS else name


def composite(pixels: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Adds up the stains of an image, each in its colour, and clips at 255.

    Args:
        pixels: uint8, shape (height, width, stains).
        colours: One for each stain.

    Returns:
        uint8, shape (height, width, 3): red, green and blue.
    """
    mixed = pixels.astype(np.float32) @ (np.array(colours, np.float32) / 255)
    return mixed.clip(0, 255).round().astype(np.uint8)
