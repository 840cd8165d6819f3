"""Random whole numbers that are the same on every machine.

Only the raw 64-bit words of NumPy's PCG64 are used: NumPy guarantees that stream (NEP 19), whereas the output of `Generator`
may change between versions, and normal or Poisson draws use `exp` and `log`, whose last bit differs between processors.
"""

import math

import numpy as np
from numpy.typing import NDArray


class Draws:
    """A stream of whole numbers that depends only on the keys, in any process and on any machine."""

    def __init__(self, *keys: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(list(keys)))

    def between(self, low: int, high: int) -> int:
        """One whole number, `low` and `high` included."""
        # Multiply and shift instead of a remainder: negligible bias for ranges far below 2^32, and no rejection loop.
        return low + ((int(self._bits.random_raw()) >> 32) * (high - low + 1) >> 32)

    def many(self, low: int, high: int, *shape: int) -> NDArray[np.int64]:
        """An array of whole numbers of the given shape, `low` and `high` included."""
        words = self._bits.random_raw(math.prod(shape)) >> np.uint64(32)
        drawn = (words * np.uint64(high - low + 1) >> np.uint64(32)).astype(np.int64) + low
        return drawn.reshape(shape)

    def chance(self, percent: int) -> bool:
        """True with this probability."""
        return self.between(0, 99) < percent

    def shuffled(self, count: int) -> list[int]:
        """The numbers below `count` in a random order."""
        # Ties among 64-bit words are practically impossible, and a stable sort resolves even those the same way everywhere.
        return [int(position) for position in np.argsort(self._bits.random_raw(count), kind="stable")]

    def noise(self, count: int) -> NDArray[np.uint8]:
        """`count` bytes, each value equally likely."""
        words = self._bits.random_raw((count + 7) // 8)
        return np.asarray(words, dtype="<u8").view(np.uint8)[:count]
