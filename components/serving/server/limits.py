"""What a server takes at once, and how it refuses the rest."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much a server takes. Images have the limits of their readers, too.

    Attributes:
        max_upload_bytes: The size of a request.
        max_bytes_in_flight: The size of all requests that are being received or answered.
        max_waiting: The samples that are decoded or wait for the model, and so the most that a request may hold.
        timeout_s: How long a request may take to arrive, and again to be answered.
    """

    max_upload_bytes: int = 256 << 20
    max_bytes_in_flight: int = 1 << 30
    max_waiting: int = 256
    timeout_s: float = 60.0

    @classmethod
    def of_upload(cls, max_upload_mib: int, max_waiting: int, timeout_s: float) -> "Limits":
        """The limits of a server whose largest request has so many MiB: four such requests are taken at once."""
        max_upload_bytes = max_upload_mib << 20
        return cls(max_upload_bytes, 4 * max_upload_bytes, max_waiting, timeout_s)

    @property
    def decode_timeout_s(self) -> float:
        """How long a sample may take to decode, in seconds: the other samples of its request are still answered in time."""
        return self.timeout_s / 2


class RefusedError(Exception):
    """A request that is not answered with predictions.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Budget:
    """Counts what is in use, and refuses more than there is. It belongs to one thread.

    Attributes:
        used: How much is in use.
    """

    def __init__(self, size: int, what: str) -> None:
        self.used = 0
        self._size = size
        self._what = what

    def take(self, amount: int) -> None:
        """Takes some, which `give_back` returns.

        Raises:
            RefusedError: With status 429 if too much is in use.
        """
        if self.used + amount > self._size:
            raise RefusedError(429, f"The server is busy: {self.used} of {self._size} {self._what} in use. Try again later")
        self.used += amount

    def give_back(self, amount: int) -> None:
        """Returns what was taken."""
        self.used -= amount
