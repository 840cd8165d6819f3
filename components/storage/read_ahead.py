"""Reads in order while what comes next is on its way: an object store answers slowly, but many questions at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from components import storage

# What is read ahead takes less memory than this, or is one item.
BYTES_IN_FLIGHT = 16 << 20
# A core takes some 250 samples a second; three files that each take 40 ms to come take 120 ms. Beyond that, threads are in each
# other's way.
_REMOTE_READERS = 32
# A local disk is hidden by two, and Python's threads cost more than a file that is in memory already.
_LOCAL_READERS = 2
# For the same reason, a thread reads so many samples at a time from a local disk.
_LOCAL_CHUNK_SAMPLES = 8

_Item = TypeVar("_Item")
_Content = TypeVar("_Content")


def start_readers(uri: str) -> ThreadPoolExecutor:
    """Starts the threads that read what is below `uri`: as many reads are in flight."""
    return ThreadPoolExecutor(_LOCAL_READERS if storage.is_local(uri) else _REMOTE_READERS, "read ahead")


def chunk_samples(uri: str) -> int:
    """How many of the samples below `uri` are best read at a time by one thread."""
    return _LOCAL_CHUNK_SAMPLES if storage.is_local(uri) else 1


def read_ahead(
    readers: Executor, items: Iterable[_Item], read: Callable[[_Item], _Content], num_bytes: Callable[[_Item], int]
) -> Iterator[tuple[_Item, _Content]]:
    """Gives each item with what it was read to, in order.

    Args:
        readers: See `start_readers`.
        items: What to read.
        read: Reads an item, in one of the threads.
        num_bytes: How much memory the content of an item takes.

    Raises:
        Exception: What `read` raises, when the item's turn comes.
    """
    in_flight: deque[tuple[_Item, Future[_Content]]] = deque()
    waiting_bytes = 0
    try:
        for item in items:
            waiting_bytes += num_bytes(item)
            while len(in_flight) > _REMOTE_READERS or (len(in_flight) > 1 and waiting_bytes > BYTES_IN_FLIGHT):
                waiting_bytes -= num_bytes(in_flight[0][0])
                yield _next(in_flight)
            in_flight.append((item, readers.submit(read, item)))
        while in_flight:
            yield _next(in_flight)
    finally:
        for _, future in in_flight:
            future.cancel()


def _next(in_flight: deque[tuple[_Item, Future[_Content]]]) -> tuple[_Item, _Content]:
    item, future = in_flight.popleft()
    return item, future.result()
