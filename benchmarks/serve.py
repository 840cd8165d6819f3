"""Measures the speed of serve, compared with predict, and with decoding an image and calling the model without a server.

    python -m benchmarks.serve --samples 160 --repeats 3
    python -m benchmarks.serve --samples 64 --repeats 1 --image-size-px 149      (quick)

The network is that of `benchmarks.predict`. Throughput: 8 clients send requests of some samples until all are answered; predict
classifies the same samples in its own process, in turn with the server. Latency: one client sends one sample at a time, in turn
with bare decoding and calling in a process that does nothing else.
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from benchmarks.machine import describe_machine, make_images
from benchmarks.predict import export, run_way
from components.images.decode import sample_pixels
from components.serving.model import load_model, read_manifest
from components.serving.predict.folder import ImageFiles, find_images

_NUM_DISTINCT = 64
_NUM_CLIENTS = 8
_TIMEOUT_S = 600
_LATENCY_SAMPLES = 40


@contextlib.contextmanager
def serving(model: Path) -> Iterator[str]:
    """Starts a server, and yields its address."""
    command = [sys.executable, "-m", "pipeline", "serve", "--model", str(model), "--port", "0", "--timeout-s", str(_TIMEOUT_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            yield next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.:]+", line)))
        finally:
            process.terminate()


def post(session: requests.Session, url: str, samples: list[ImageFiles]) -> float:
    """Sends samples, and returns the seconds until the response."""
    files = [
        ("files", (Path(uri).name, Path(uri).read_bytes())) for sample in samples for uri in dict.fromkeys(sample.uris.values())
    ]
    started_s = time.monotonic()
    answer = session.post(f"{url}/predict", files=files, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    assert not any("error" in sample for sample in answer.json()["samples"])
    return time.monotonic() - started_s


def send_all(url: str, samples: list[ImageFiles], samples_a_request: int) -> float:
    """Sends samples with all clients, and returns the seconds."""
    parts = [samples[start : start + samples_a_request] for start in range(0, len(samples), samples_a_request)]
    with ThreadPoolExecutor(_NUM_CLIENTS) as clients, requests.Session() as session:
        started_s = time.monotonic()
        list(clients.map(lambda part: post(session, url, part), parts))
        return time.monotonic() - started_s


def measure_bare(version: Path, samples: list[ImageFiles]) -> list[float]:
    """Decodes samples and calls the model on each, one at a time. Returns the seconds of each."""
    trained = read_manifest(str(version))
    model = load_model(str(version), trained, 1, Path())
    seconds = []
    for sample in samples:
        contents = {name: Path(uri).read_bytes() for name, uri in sample.uris.items()}
        started_s = time.monotonic()
        model.classify(sample_pixels(contents, trained.channels, trained.image_size_px)[None])
        seconds.append(time.monotonic() - started_s)
    return seconds


def measure(folder: Path, num_samples: int, image_size_px: int, repeats: int, samples_a_request: int) -> None:
    """Prints speed and latency in each repetition."""
    model, images = folder / "model", folder / "images"
    export(model, image_size_px, is_small=False)
    make_images(images, num_samples, _NUM_DISTINCT)
    samples = find_images(str(images), read_manifest(str(model)).channels).samples
    print(f"{num_samples} samples, {image_size_px} px, {_NUM_CLIENTS} clients, {samples_a_request} samples a request\n")
    print("| repeat | predict, samples/s | serve, samples/s | share | bare, median ms | serve, median ms | ratio |")
    print("|---|---|---|---|---|---|---|")
    shares, ratios = [], []
    for repeat in range(repeats):
        predicted = num_samples / run_way("predict", model, images, folder / f"{repeat}.csv").seconds
        with serving(model) as url, requests.Session() as session:
            send_all(url, samples[: 4 * samples_a_request], samples_a_request)  # starts the decoding processes
            served = num_samples / send_all(url, samples, samples_a_request)
            few = samples[:_LATENCY_SAMPLES]
            latency_s = statistics.median(post(session, url, [sample]) for sample in few)
        bare_s = statistics.median(measure_bare(model, few))
        shares.append(served / predicted)
        ratios.append(latency_s / bare_s)
        figures = f"{predicted:.2f} | {served:.2f} | {shares[-1]:.3f} | {1000 * bare_s:.0f} | {1000 * latency_s:.0f}"
        print(f"| {repeat + 1} | {figures} | {ratios[-1]:.3f} |", flush=True)
    print(f"\nMedians: {statistics.median(shares):.3f} of predict's speed, {statistics.median(ratios):.3f} of the bare latency")


def main() -> None:
    """Parses the command line and runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image-size-px", type=int, default=299)
    parser.add_argument("--samples-a-request", type=int, default=4)
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.samples, options.image_size_px, options.repeats, options.samples_a_request)


if __name__ == "__main__":
    main()
