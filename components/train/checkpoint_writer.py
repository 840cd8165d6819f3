"""Writes checkpoints in the background, one at a time."""

from concurrent.futures import Future, ThreadPoolExecutor

from components.train.checkpoint import Checkpoint, Checkpoints


class CheckpointWriter:
    """A thread that writes checkpoints while training goes on."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the last checkpoint is written.

        Raises:
            OSError: If it could not be written.
        """
        if self._pending and self._pending.done():
            self.wait()
        return self._pending is None

    def save(self, checkpoint: Checkpoint) -> None:
        """Starts writing a checkpoint, whose arrays must not change any more. Waits for the previous one.

        Raises:
            OSError: If the previous one could not be written.
        """
        self.wait()
        self._pending = self._thread.submit(self._checkpoints.save, checkpoint)

    def wait(self) -> None:
        """Waits until the last checkpoint is written.

        Raises:
            OSError: If it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def close(self) -> None:
        """Waits for the thread to end, and ignores errors of the last checkpoint."""
        self._thread.shutdown()
