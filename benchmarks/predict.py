"""Measures the speed and memory of predict and watch, compared with calling the same model on batches in memory.

    python -m benchmarks.predict --samples 320 --repeats 3
    python -m benchmarks.predict --samples 64 --repeats 1 --image-size-px 149      (quick)

The network is InceptionResNetV2 with random weights, exported as in train; the samples are hard links to some synthetic ones of
512 x 512 pixels. The variants run in turn, each in its own process, and are timed after the model was loaded and called once.
watch gets all samples at once.

The share in processor time is that of the calls in predict's total for calling, reading, decoding and writing. If the model
keeps all cores busy, it equals the share in speed; unlike wall time, it hardly depends on other load on the machine.

Memory is that of the process that calls the model, without the decoding processes, with a network of one layer, for a number of
samples and for eight times as many.
"""

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine, make_images
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.artifacts.manifest import MODEL_MANIFEST, TrainedModel
from components.serving.model import load_model
from components.serving.predict.decoding import ImageForm, decoded_batches
from components.serving.predict.folder import find_images
from components.serving.predict.prediction import predict
from components.serving.watch import watching

_NUM_DISTINCT = 64
_CHANNELS = list(FILTERS[:3])
_MEMORY_SAMPLES = 500


@dataclass(frozen=True)
class Run:
    """The cost of a run.

    Attributes:
        seconds: From the first batch to the last.
        call_cpu_seconds: Processor time of this process from the first batch to the last.
        own_cpu_seconds: Processor time of this process from its start.
        decoder_cpu_seconds: Processor time of the decoding processes.
        peak_mb: The peak memory of this process.
    """

    seconds: float
    call_cpu_seconds: float
    own_cpu_seconds: float
    decoder_cpu_seconds: float
    peak_mb: float


def export(folder: Path, image_size_px: int, is_small: bool) -> None:
    """Exports a network with random weights."""
    # Imported here, because decoding processes import this file.
    import keras  # noqa: PLC0415

    from components.train.export import export_model  # noqa: PLC0415
    from components.train.model import build_backbone, build_model  # noqa: PLC0415

    if is_small:
        pixels = keras.Input((image_size_px, image_size_px, len(_CHANNELS)))
        backbone = keras.Model(pixels, keras.layers.Conv2D(4, 3, strides=2)(pixels))
    else:
        backbone = build_backbone("inception_resnet_v2", image_size_px, len(_CHANNELS), "none")
    mean, std = np.full(len(_CHANNELS), 20.0, np.float32), np.full(len(_CHANNELS), 30.0, np.float32)
    export_model(build_model(backbone, mean, std, len(CLASS_NAMES), dropout=0.5), _CHANNELS, CLASS_NAMES, ["none"], folder)
    manifest = TrainedModel(
        fingerprint="benchmark",
        inputs={},
        parameters={},
        source="synthetic",
        licence="",
        class_names=list(CLASS_NAMES),
        channels=_CHANNELS,
        image_size_px=image_size_px,
        epochs_trained=0,
        best_epoch=0,
        metrics={},
    )
    (folder / MODEL_MANIFEST).write_bytes(manifest.to_json())


def classify_preloaded(version: Path, images: Path, _out: Path) -> tuple[float, float]:
    """Calls the model on batches in memory, and returns the seconds of wall time and of processor time."""
    trained = TrainedModel.read(str(version / MODEL_MANIFEST))
    form = ImageForm(tuple(trained.channels), trained.image_size_px)
    with decoded_batches(find_images(str(images), trained.channels).samples, str(images), form) as batches:
        preloaded = [batch.pixels for batch in batches]
    model = load_model(str(version), trained, form.batch_size, Path())
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    for pixels in preloaded:
        model.classify(pixels)
    return time.monotonic() - started_s, time.process_time() - started_cpu_s


def predict_folder(version: Path, images: Path, out: Path) -> tuple[float, float]:
    """Predicts, and returns the seconds; the processor time is not known."""
    return predict(str(version), str(images), str(out)).seconds, 0.0


def watch_folder(version: Path, images: Path, out: Path) -> tuple[float, float]:
    """Watches a folder until all fields have a row, and returns the seconds; the processor time is not known."""
    times_s: list[float] = []  # of the first log line, when the model is loaded, to the last, after the last batch
    handler = logging.Handler()
    handler.emit = lambda record: times_s.append(record.created)  # type: ignore[method-assign]
    logger = logging.getLogger(watching.__name__)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    watching.watch(watching.Watch(str(images), str(version), out, settle_s=0, idle_s=0))
    return times_s[-1] - times_s[0], 0.0


_WAYS = {"preloaded": classify_preloaded, "predict": predict_folder, "watch": watch_folder}


def run_way(way: str, version: Path, images: Path, out: Path) -> Run:
    """Runs a variant in its own process."""
    command = [sys.executable, "-m", "benchmarks.predict", "--way", way, str(version), str(images), str(out)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Run(**json.loads(finished.stdout.splitlines()[-1]))


def _run_here(way: str, version: Path, images: Path, out: Path) -> Run:
    seconds, call_cpu_seconds = _WAYS[way](version, images, out)
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    own_cpu_seconds, decoder_cpu_seconds = (usage.ru_utime + usage.ru_stime for usage in (own, children))
    return Run(seconds, call_cpu_seconds, own_cpu_seconds, decoder_cpu_seconds, own.ru_maxrss / 1024)


def share_of_cpu(preloaded: Run, predicted: Run) -> float:
    """The share of the model's calls in predict's processor time after loading the model."""
    loading = preloaded.own_cpu_seconds - preloaded.call_cpu_seconds
    return preloaded.call_cpu_seconds / (predicted.own_cpu_seconds - loading + predicted.decoder_cpu_seconds)


def measure_speed(folder: Path, num_samples: int, image_size_px: int, repeats: int) -> None:
    """Prints the speed of each variant in each repetition."""
    export(folder / "model", image_size_px, is_small=False)
    images = folder / "images"
    make_images(images, num_samples, _NUM_DISTINCT)
    print(f"{num_samples} samples, {image_size_px} px\n")
    columns = [
        "repeat",
        *(f"{way}, samples/s" for way in _WAYS),
        "predict of preloaded",
        "in processor time",
        "watch of predict",
    ]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    shares = []
    for repeat in range(repeats):
        preloaded = run_way("preloaded", folder / "model", images, folder / "none")
        predicted = run_way("predict", folder / "model", images, folder / f"{repeat}.csv")
        watched = run_way("watch", folder / "model", images, folder / f"watch-{repeat}.csv")
        shares.append(
            (preloaded.seconds / predicted.seconds, share_of_cpu(preloaded, predicted), predicted.seconds / watched.seconds)
        )
        rates = [f"{num_samples / run.seconds:.2f}" for run in (preloaded, predicted, watched)]
        print(f"| {' | '.join([str(repeat + 1), *rates, *(f'{share:.3f}' for share in shares[-1])])} |", flush=True)
    medians = [statistics.median(column) for column in zip(*shares, strict=True)]
    print(
        f"\nMedians: predict has {medians[0]:.3f} of the speed, {medians[1]:.3f} in processor time; "
        f"watch has {medians[2]:.3f} of the speed of predict\n"
    )


def measure_memory(folder: Path) -> None:
    """Prints the memory of predict and watch for few and for many samples."""
    export(folder / "small", 299, is_small=True)
    print("| way | samples | samples/s | peak, MB |\n|---|---|---|---|")
    for num_samples in (_MEMORY_SAMPLES, 8 * _MEMORY_SAMPLES):
        images = folder / f"images-{num_samples}"
        make_images(images, num_samples, _NUM_DISTINCT)
        for way in ("predict", "watch"):
            run = run_way(way, folder / "small", images, folder / f"{way}-{num_samples}.csv")
            print(f"| {way} | {num_samples} | {num_samples / run.seconds:.0f} | {run.peak_mb:.0f} |", flush=True)


def main() -> None:
    """Parses the command line and runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image-size-px", type=int, default=299)
    parser.add_argument("--way", choices=_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("places", type=Path, nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(asdict(_run_here(options.way, *options.places))))
        return
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        measure_speed(Path(folder), options.samples, options.image_size_px, options.repeats)
        measure_memory(Path(folder))


if __name__ == "__main__":
    main()
