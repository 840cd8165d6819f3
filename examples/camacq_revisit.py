# /// script
# requires-python = ">=3.12"
# dependencies = ["camacq==0.10.1"]
# ///
r"""Runs camacq, which controls Leica microscopes, and has it return to each field that `watch` posts.

    uv run --python 3.12 examples/camacq_revisit.py examples/camacq_revisit.yml
    python -m pipeline watch experiment --model outputs/serving/hpa --file-pattern "{id}--Z00--C{filter}.ome.tif" \
        --filters red=00,green=01,blue=02 --when "Mitotic spindle > 0.8" --post http://127.0.0.1:8765

Each field becomes a `revisit_event`. An automation in the configuration says what to do about it.
"""

import argparse
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from camacq import bootstrap
from camacq.control import Center
from camacq.event import Event
from leicaimage import attribute

# The letters of well and field in Leica's file names.
LETTERS = {"well_x": "U", "well_y": "V", "field_x": "X", "field_y": "Y"}
TIMEOUT_S = 50


class RevisitEvent(Event):
    """A field to return to. Its data are well_x, well_y, field_x and field_y, from 0."""

    __slots__ = ()
    event_type = "revisit_event"


def make_server(port: int, center: Center) -> ThreadingHTTPServer:
    """Makes a server that turns the first answer of each field into an event.

    Later ones are repetitions, or are for images of the revisit, which must not cause another revisit.
    """
    seen = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sample_id = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["id"]
            field = {name: attribute(sample_id, letter) for name, letter in LETTERS.items()}
            key = tuple(field.values())
            if None not in key and key not in seen:
                seen.add(key)
                asyncio.run_coroutine_threadsafe(center.bus.notify(RevisitEvent(field)), center.loop).result(TIMEOUT_S)
            self.send_response(400 if None in key else 200)
            self.end_headers()

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


async def run(config: Path, port: int) -> None:
    """Runs camacq until Ctrl-C or SIGTERM."""
    center = await bootstrap.setup_file(config, {"config_dir": config.parent})
    with make_server(port, center) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        await center.start()
        server.shutdown()


def main() -> None:
    """Reads the arguments and runs camacq."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    asyncio.run(run(options.config.absolute(), options.port))


if __name__ == "__main__":
    main()
