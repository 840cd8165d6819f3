"""Servers on loopback ports."""

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from components.serving.champion import Champion, find_pointer, promote
from components.serving.server.limits import Limits
from components.serving.server.runner import ReadingOptions
from components.serving.server.serve import make_server, open_listener
from tests.components.serving.predict.conftest import FILTERS, cells_dir, version_dir, version_with_maps_dir

__all__ = ["cells_dir", "promote_version", "serving", "url", "version_dir", "version_with_maps_dir"]

Serving = Callable[..., contextlib.AbstractContextManager[str]]


@contextlib.contextmanager
def _serving(model_uri: Path | str, options: ReadingOptions | None = None, limits: Limits | None = None) -> Iterator[str]:
    server = make_server(str(model_uri), options or ReadingOptions(), limits or Limits(), "127.0.0.1", 0)
    with open_listener("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def promote_version(serving_root: Path | str, version: int) -> None:
    """Makes a version of the model hpa the champion."""
    generation = find_pointer(str(serving_root), "hpa").generation
    champion = Champion(version, f"{serving_root}/hpa/{version}", "m", "e", generation)
    promote(champion, str(serving_root), "hpa")


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Serves a model within the context, and yields the address."""
    return _serving


@pytest.fixture(scope="module")
def url(version_dir: Path) -> Iterator[str]:
    """The address of a server of `version_dir`."""
    with _serving(version_dir) as address:
        yield address


@pytest.fixture(scope="session")
def slow_files() -> dict[str, bytes]:
    """The files of a sample that takes seconds to decode."""
    file = io.BytesIO()
    pixels = np.zeros((16_000, 16_000), np.uint8)
    pixels[::16] = 200
    tifffile.imwrite(file, pixels, tile=(1024, 1024), compression="zlib")
    return dict.fromkeys(FILTERS, file.getvalue())
