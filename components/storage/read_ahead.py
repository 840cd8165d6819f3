"""Reads items in order and prefetches the next ones: object stores have high latency, but serve many requests at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from components import storage

# The memory for prefetched items, unless a single item is larger.
BYTES_IN_FLIGHT = 16 << 20
# A core converts some 250 samples per second, and the three files of a sample take 120 ms at a latency of 40 ms each. More
# threads than that only contend.
_REMOTE_READERS = 32
# Two hide the latency of a local disk, and a thread switch costs more than reading a cached file.
_LOCAL_READERS = 2
# For the same reason, a thread reads this many samples at a time from a local disk.
_LOCAL_CHUNK_SAMPLES = 8

_Item = TypeVar("_Item")
_Content = TypeVar("_Content")


def start_readers(uri: str) -> ThreadPoolExecutor:
    """Starts the threads that read from below `uri`, one for each concurrent read."""
    return ThreadPoolExecutor(_LOCAL_READERS if storage.is_local(uri) else _REMOTE_READERS, "read ahead")


def chunk_samples(uri: str) -> int:
    """How many samples below `uri` a thread should read at a time."""
    return _LOCAL_CHUNK_SAMPLES if storage.is_local(uri) else 1


def read_ahead(
    readers: Executor, items: Iterable[_Item], read: Callable[[_Item], _Content], num_bytes: Callable[[_Item], int]
) -> Iterator[tuple[_Item, _Content]]:
    """Yields each item with its content, in order.

    Args:
        readers: See `start_readers`.
        items: What to read.
        read: Reads an item, in one of the threads.
        num_bytes: How much memory the content of an item takes.

    Raises:
        Exception: Whatever `read` raises for an item, at that item's turn.
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
