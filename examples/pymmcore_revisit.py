# /// script
# requires-python = ">=3.11"
# dependencies = ["mm-test-adapters==75.20261014.post1", "pymmcore==12.5.1.75.0", "pymmcore-plus==0.18.1", "tifffile"]
# ///
r"""Acquires an overview with pymmcore-plus, and a stack of each field that `watch` posts.

    uv run examples/pymmcore_revisit.py overview stacks
    python -m pipeline watch overview --model outputs/serving/hpa --file-pattern "{id}_{filter}.tif" \
        --intensity-range 0:65535 --when "Mitotic spindle > 0.8" --post http://127.0.0.1:8765

It runs on Micro-Manager's simulated microscope. For a real one, load its configuration in `main`, and edit the constants.
"""

import argparse
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mm_test_adapters
import numpy as np
import tifffile
from pymmcore_plus import CMMCorePlus
from useq import MDAEvent

# The preset of each stain in Micro-Manager's group Channel.
PRESETS = {"red": "Cy5", "green": "FITC", "blue": "DAPI"}
STACK_PRESET, STACK_Z_UM = "FITC", (-2.0, -1.0, 0.0, 1.0, 2.0)
# An overview of 3 x 3 fields.
POSITIONS_UM = {f"x{x}_y{y}": (200.0 * x, 200.0 * y) for y in range(3) for x in range(3)}


def acquire(overview: Path, stacks: Path, revisits: "queue.Queue[str]", idle_s: float) -> Iterator[MDAEvent]:
    """Yields the images to acquire: the overview and, between its fields and after them, the stacks.

    Args:
        overview: The folder that is watched.
        stacks: Another folder, so that stacks are not predicted.
        revisits: The fields to return to.
        idle_s: The acquisition ends after this long without a revisit, in seconds.
    """
    for field, (x_um, y_um) in POSITIONS_UM.items():
        for stain, preset in PRESETS.items():
            path = overview / f"{field}_{stain}.tif"
            yield MDAEvent(x_pos=x_um, y_pos=y_um, z_pos=0, channel=preset, exposure=10, metadata={"path": path})
        while not revisits.empty():
            yield from stack_of(revisits.get(), stacks)
    while True:
        try:
            yield from stack_of(revisits.get(timeout=idle_s), stacks)
        except queue.Empty:
            return


def stack_of(field: str, stacks: Path) -> Iterator[MDAEvent]:
    """Yields the planes of a field's stack."""
    x_um, y_um = POSITIONS_UM[field]
    for number, z_um in enumerate(STACK_Z_UM):
        path = stacks / f"{field}_z{number}.tif"
        yield MDAEvent(x_pos=x_um, y_pos=y_um, z_pos=z_um, channel=STACK_PRESET, exposure=10, metadata={"path": path})


def save(image: np.ndarray, event: MDAEvent) -> None:
    """Saves an image once it is acquired."""
    tifffile.imwrite(event.metadata["path"], image)


def make_server(port: int, revisits: "queue.Queue[str]") -> ThreadingHTTPServer:
    """Makes a server that queues each field that is posted, once: `watch` may repeat an answer."""
    seen = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            field = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["id"]
            if field in POSITIONS_UM and field not in seen:
                seen.add(field)
                revisits.put(field)
            self.send_response(200 if field in POSITIONS_UM else 404)
            self.end_headers()

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Acquires until no more answers arrive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overview", type=Path)
    parser.add_argument("stacks", type=Path)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--idle-s", type=float, default=60)
    options = parser.parse_args()
    options.overview.mkdir(exist_ok=True)
    options.stacks.mkdir(exist_ok=True)
    revisits: queue.Queue[str] = queue.Queue()
    with make_server(options.port, revisits) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        core = CMMCorePlus(mm_test_adapters.device_adapter_path())
        core.loadSystemConfiguration()  # the simulated microscope
        core.mda.engine.use_hardware_sequencing = False  # it would wait for the next event before it acquires one
        core.mda.events.frameReady.connect(save)
        core.run_mda(acquire(options.overview, options.stacks, revisits, options.idle_s), block=True)
        server.shutdown()


if __name__ == "__main__":
    main()
