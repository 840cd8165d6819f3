"""The limits of a server, and how it refuses requests beyond them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much a server accepts. Image readers have their own limits.

    Attributes:
        max_upload_bytes: The largest request.
        max_bytes_in_flight: The total size of the requests being received or answered.
        max_waiting: How many samples may be in decoding or wait for the model; also the most in one request.
        timeout_s: How long a request may take to arrive, and then to be answered.
    """

    max_upload_bytes: int = 256 << 20
    max_bytes_in_flight: int = 1 << 30
    max_waiting: int = 256
    timeout_s: float = 60.0

    @classmethod
    def of_upload(cls, max_upload_mib: int, max_waiting: int, timeout_s: float) -> "Limits":
        """The limits for requests of up to this many MiB, of which four are accepted at once."""
        max_upload_bytes = max_upload_mib << 20
        return cls(max_upload_bytes, 4 * max_upload_bytes, max_waiting, timeout_s)

    @property
    def decode_timeout_s(self) -> float:
        """How long a sample may take to decode, in seconds, so that the rest of its request is still answered in time."""
        return self.timeout_s / 2


class RefusedError(Exception):
    """A request was refused.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Budget:
    """Counts what is in use, and refuses to exceed its size. Not thread-safe.

    Attributes:
        used: How much is in use.
    """

    def __init__(self, size: int, what: str) -> None:
        self.used = 0
        self._size = size
        self._what = what

    def take(self, amount: int) -> None:
        """Takes an amount, until `give_back`.

        Raises:
            RefusedError: With status 429 if too much is in use.
        """
        if self.used + amount > self._size:
            raise RefusedError(429, f"The server is busy: {self.used} of {self._size} {self._what} in use. Try again later")
        self.used += amount

    def give_back(self, amount: int) -> None:
        """Returns an amount."""
        self.used -= amount
