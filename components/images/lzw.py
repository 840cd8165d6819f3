"""Checks LZW streams of TIFF files before imagecodecs decodes them.

imagecodecs 2026.3 takes any code as the first one after a clear code. If the table has no such entry, it reads memory that it
has not initialised, and may end the process.
"""

import numpy as np

from components.images.image import BadImageError

_CLEAR, _END = 256, 257
# At least as many codes as imagecodecs accepts without a clear code.
_MAX_CODES = 5120
# Encoders clear the table when it is full or no longer compresses well: after kilobytes of pixels.
_MIN_BYTES_BETWEEN_CLEARS = 64


class _Layout:
    """Where the codes after a clear code are.

    Attributes:
        ends: Where each ends, in bits.
        masks: The bits of each.
        places: For each bit offset of the first code in its byte, 0 to 7: the byte in which each code begins, and by how
            much the 32 bits from there are shifted.
    """

    def __init__(self, is_msb_first: bool) -> None:
        # The table has 258 entries before the second code, and one more before each further one.
        sizes = 257 + np.arange(_MAX_CODES).clip(1)
        limits = (511, 1023, 2047) if is_msb_first else (512, 1024, 2048)
        widths = 9 + np.sum([sizes >= limit for limit in limits], axis=0)
        self.ends = widths.cumsum()
        self.masks = (1 << widths).astype(np.uint32) - 1
        starts = self.ends - widths + np.arange(8)[:, np.newaxis]
        shifts = 32 - widths - starts % 8 if is_msb_first else starts % 8
        self.places = list(zip(starts // 8, shifts.astype(np.uint32), strict=True))


# By whether the most significant bit of a code comes first. Encoders before TIFF 6 wrote it last, and widened codes one later.
_LAYOUTS = {True: _Layout(True), False: _Layout(False)}


def check_lzw(data: bytes) -> None:
    """Checks the first code after each clear code.

    Raises:
        BadImageError: If it is not a byte, or there are far more clear codes than an encoder writes.
    """
    if len(data) < 2:
        return
    is_msb_first = not (data[0] == 0 and data[1] & 1)
    layout = _LAYOUTS[is_msb_first]
    # The 32 bits from each byte on.
    words = np.ndarray(len(data), ">u4" if is_msb_first else "<u4", data + bytes(4), strides=(1,)).astype(np.uint32)
    position = 9  # in bits, after the clear code that begins each stream
    for _ in range(2 + len(data) // _MIN_BYTES_BETWEEN_CLEARS):
        num_codes = int(np.searchsorted(layout.ends, 8 * len(data) - position, side="right"))
        if not num_codes:
            return
        places, shifts = layout.places[position % 8]
        codes = words[position // 8 :][places[:num_codes]] >> shifts[:num_codes] & layout.masks[:num_codes]
        if codes[0] > _END:
            raise BadImageError("a damaged TIFF: its LZW codes refer to entries that do not exist")
        is_stop = codes - np.uint32(_CLEAR) <= _END - _CLEAR  # smaller codes wrap around
        stop = int(is_stop.argmax())
        if not is_stop[stop] or codes[stop] == _END:
            return
        position += int(layout.ends[stop])
    raise BadImageError("a damaged TIFF: its LZW table is cleared too often")
