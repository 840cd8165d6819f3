import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.storage import read_ahead as module
from components.storage.read_ahead import read_ahead, start_readers


def test_items_are_yielded_in_order_even_if_later_reads_finish_first() -> None:
    done = [threading.Event() for _ in range(20)]

    def read(item: int) -> int:
        if item % 2 == 0:
            done[item + 1].wait(30)
        done[item].set()
        return item * item

    with ThreadPoolExecutor(8) as readers:
        assert list(read_ahead(readers, range(20), read, lambda _: 1)) == [(k, k * k) for k in range(20)]


def test_every_thread_has_a_read_in_flight() -> None:
    """The first reads wait for each other at a barrier, which would break with fewer reads in flight."""
    barrier = threading.Barrier(32)

    def read(item: int) -> int:
        if item < 32:
            barrier.wait(30)
        return item

    with start_readers("gs://bucket/images") as readers:
        assert [item for item, _ in read_ahead(readers, range(100), read, lambda _: 1)] == list(range(100))


def test_memory_of_prefetched_items_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_IN_FLIGHT", 100)
    started: list[int] = []

    def read(item: int) -> int:
        started.append(item)
        return item

    with ThreadPoolExecutor(1) as readers:
        results = read_ahead(readers, range(50), read, lambda _: 30)
        next(results)
        readers.submit(lambda: None).result()  # all earlier items have been read
        assert len(started) <= 4


def test_two_large_items_are_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_IN_FLIGHT", 1)
    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(4) as readers:
        results = read_ahead(readers, range(4), lambda item: barrier.wait(30) + item, lambda _: 1000)
        assert [item for item, _ in results] == [0, 1, 2, 3]


def test_an_error_is_raised_at_the_turn_of_its_item() -> None:
    def read(item: int) -> int:
        if item == 3:
            raise OSError("the third is damaged")
        return item

    with ThreadPoolExecutor(2) as readers:
        results = read_ahead(readers, range(100), read, lambda _: 1)
        assert [next(results)[0] for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="the third is damaged"):
            next(results)


def test_abandoned_items_are_not_read() -> None:
    may_go_on = threading.Event()
    started: list[int] = []

    def read(item: int) -> int:
        started.append(item)
        if item > 0:
            may_go_on.wait(30)
        return item

    with ThreadPoolExecutor(1) as readers:
        results = read_ahead(readers, range(10), read, lambda _: 1)
        next(results)
        results.close()
        may_go_on.set()
    assert started in ([0], [0, 1])
