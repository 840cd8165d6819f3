import random
from collections.abc import Iterator, Sequence

import imagecodecs
import numpy as np
import pytest

from components.images.image import BadImageError
from components.images.lzw import check_lzw

_CLEAR, _END = 256, 257


def _pack(codes: Sequence[int], is_msb_first: bool = True) -> bytes:
    """A stream of codes of 9 bits."""
    if is_msb_first:
        bits = "".join(f"{code:09b}" for code in codes)
        return bytes(int(bits[start : start + 8].ljust(8, "0"), 2) for start in range(0, len(bits), 8))
    number = sum(code << 9 * position for position, code in enumerate(codes))
    return number.to_bytes(-(-9 * len(codes) // 8), "little")


def _first_codes(data: bytes) -> Iterator[int]:
    """The code after each clear code, found one code after another."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position, size, is_first = 0, 258, True
    while True:
        width = 9 + sum(size >= limit for limit in (511, 1023, 2047))
        if position + width > len(bits):
            return
        code = int(bits[position : position + width], 2)
        position += width
        if code == _END:
            return
        if code == _CLEAR:
            size, is_first = 258, True
        elif is_first:
            yield code
            is_first = False
        else:
            size += 1


def _is_refused(data: bytes) -> bool:
    try:
        check_lzw(data)
    except BadImageError:
        return True
    return False


@pytest.mark.parametrize("num_bytes", [0, 1, 100, 4000, 100_000])
@pytest.mark.parametrize("num_levels", [1, 3, 256])
def test_the_output_of_an_encoder_is_accepted(num_bytes: int, num_levels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, num_levels, num_bytes, dtype=np.uint8)
    check_lzw(imagecodecs.lzw_encode(pixels.tobytes()))


@pytest.mark.parametrize("is_msb_first", [True, False])
@pytest.mark.parametrize("before", [[_CLEAR], [_CLEAR, _CLEAR], [_CLEAR, 65, 66, 258, _CLEAR]])
def test_a_code_without_an_entry_after_a_clear_code_is_refused(before: list[int], is_msb_first: bool) -> None:
    check_lzw(_pack([*before, 65, 65, 258, _END], is_msb_first))
    with pytest.raises(BadImageError, match="its LZW codes refer to entries that do not exist"):
        check_lzw(_pack([*before, 300, 65, 65, _END], is_msb_first))


def test_codes_after_the_end_code_are_ignored() -> None:
    check_lzw(_pack([_CLEAR, 65, _END, _CLEAR, 300]))


def test_a_stream_of_clear_codes_is_refused_soon() -> None:
    with pytest.raises(BadImageError, match="cleared too often"):
        check_lzw(_pack([_CLEAR, 65] * 4000))


def test_damaged_streams_are_refused_for_exactly_these_codes() -> None:
    chance = random.Random(0)
    pixels = np.random.default_rng(0).integers(0, 200, 12_000, dtype=np.uint8)
    original = imagecodecs.lzw_encode(pixels.tobytes())
    outcomes: dict[bool, set[bool]] = {True: set(), False: set()}
    for _ in range(300):
        data = bytearray(original[: chance.randrange(100, len(original))])
        data[1] ^= 1 << chance.randrange(7)  # of the first code after the clear code
        for _ in range(3):
            data[chance.randrange(2, len(data))] ^= 1 << chance.randrange(8)
        outcomes[max(_first_codes(bytes(data)), default=0) > _END].add(_is_refused(bytes(data)))
    assert outcomes == {True: {True}, False: {False}}
