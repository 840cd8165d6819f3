import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from components.images.image import BadImageError
from components.serving.predict.decoding import ImageForm
from components.serving.server.decoding import Decoders
from tests.components.serving.predict.conftest import FILTERS, SIDE_PX

_FORM = ImageForm(tuple(FILTERS), SIDE_PX)


@pytest.fixture
def good_files(cells_dir: Path) -> dict[str, bytes]:
    return {name: (cells_dir / "train" / f"s00_{name}.png").read_bytes() for name in FILTERS}


@contextlib.contextmanager
def _started(timeout_s: float) -> Iterator[Decoders]:
    decoders = Decoders(timeout_s)
    try:
        yield decoders
    finally:
        decoders.stop()
        assert not multiprocessing.active_children()


def test_slow_sample_is_given_up_without_affecting_others(slow_files: dict[str, bytes], good_files: dict[str, bytes]) -> None:
    async def decode(decoders: Decoders) -> list[object]:
        samples = [slow_files, good_files, slow_files, good_files]
        return await asyncio.gather(*(decoders.decode(files, _FORM) for files in samples), return_exceptions=True)

    with _started(timeout_s=0.4) as decoders:
        found = asyncio.run(decode(decoders))
    assert [str(error) for error in found if isinstance(error, BadImageError)] == ["decoding takes longer than 0.4 s"] * 2
    assert [type(result).__name__ for result in found] == ["BadImageError", "Decoded"] * 2


def test_cancelled_work_ends_at_once(slow_files: dict[str, bytes], good_files: dict[str, bytes]) -> None:
    async def decode(decoders: Decoders) -> float:
        await decoders.decode(good_files, _FORM)  # once the processes have started
        slow = [asyncio.ensure_future(decoders.decode(slow_files, _FORM)) for _ in range(20)]
        await asyncio.sleep(0.2)
        for task in slow:
            task.cancel()
        started_s = time.monotonic()
        await decoders.decode(good_files, _FORM)
        return time.monotonic() - started_s

    with _started(timeout_s=60) as decoders:
        assert asyncio.run(decode(decoders)) < 10  # 20 slow ones take minutes


# No more than one is busy: the first sample only shows that one process has started.
@pytest.mark.parametrize("num_busy", [0, 1])
def test_killed_processes_are_replaced(slow_files: dict[str, bytes], good_files: dict[str, bytes], num_busy: int) -> None:
    async def decode(decoders: Decoders) -> Sequence[object]:
        await decoders.decode(good_files, _FORM)
        slow = [asyncio.ensure_future(decoders.decode(slow_files, _FORM)) for _ in range(num_busy)]
        await asyncio.sleep(1)  # time for a process to take it, and less than decoding takes
        for process in multiprocessing.active_children():
            process.kill()
        found = await asyncio.gather(*slow, return_exceptions=True)
        await asyncio.sleep(1)
        await decoders.decode(good_files, _FORM)
        return found

    with _started(timeout_s=60) as decoders:
        found = asyncio.run(decode(decoders))
    assert [str(error) for error in found] == ["the process that decoded it was killed: memory may have run out"] * num_busy
