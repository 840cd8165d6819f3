"""The valid values of the pipeline's parameters. Submission checks all of them, and each step its own."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components import storage
from components.artifacts.image_names import DEFAULT_PATTERN, check_pattern, parse_filters
from components.artifacts.labels import FILTERS, parse_channels, stains_of_source

# A rule returns what was expected if a value is invalid, and an empty string if it is valid.
Rule = Callable[[Any], str]


def _at_least(low: float) -> Rule:
    return lambda value: "" if value >= low else f"expected at least {low}"


def _between(low: float, high: float) -> Rule:
    return lambda value: "" if low <= value <= high else f"expected a number from {low} to {high}"


def _one_of(choices: Sequence[str]) -> Rule:
    return lambda value: "" if value in choices else f"expected one of {', '.join(filter(None, choices))}"


def _not_empty(value: str) -> str:
    return "" if value.strip() else "expected a value"


MIN_SYNTHETIC_SAMPLES = 10  # one each for validation and test, by default
_MAX_SEED = 2**31 - 1


def parse_synthetic(written: str) -> tuple[int, int]:
    """Parses the part after `synthetic:`, such as `450` or `450@3`, to the number of samples and the series (default 0).

    Raises:
        ValueError: If it is invalid. The message says what was expected.
    """
    parts = re.fullmatch("([0-9]+)(?:@([0-9]+))?", written)
    num_samples, series = (int(part or 0) for part in parts.groups()) if parts else (0, 0)
    if num_samples < MIN_SYNTHETIC_SAMPLES or series > _MAX_SEED:
        raise ValueError(
            f"expected synthetic:<number of samples, at least {MIN_SYNTHETIC_SAMPLES}>[@<series, at most {_MAX_SEED}>]"
        )
    return num_samples, series


def _source(value: str) -> str:
    kind, _, rest = value.partition(":")
    if (kind == "dir" and rest) or (kind == "kaggle" and not _plain_name(rest)):
        return ""
    if kind == "synthetic":
        return _readable(parse_synthetic)(rest)
    expected = "expected kaggle:<competition>, dir:<folder with a table of labels> or synthetic:<number of samples>[@<series>]"
    is_path = "/" in value or ":" not in value
    return f"{expected}; for a folder, dir:{value}" if is_path and kind not in ("dir", "kaggle", "synthetic", "") else expected


def _place(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    is_known = scheme in storage.SCHEMES and rest.strip("/") if separator else value.strip()
    known = " or ".join(f"{name}://<bucket>/<prefix>" for name in storage.SCHEMES)
    return "" if is_known else f"expected a folder, {known}"


def _plain_name(value: str) -> str:
    plain = value and all(character.isalnum() or character in "_-" for character in value) and value.isascii()
    return "" if plain else "expected letters, digits, _ and - only: it becomes a folder's name"


def _readable(read: Callable[[str], object]) -> Rule:
    """A rule from a parser: a value is invalid if the parser raises, and the parser's message says what was expected."""

    def rule(value: str) -> str:
        try:
            read(value)
        except ValueError as error:
            return str(error)
        return ""

    return rule


PROJECTIONS = ("", "max", "mean", "sum", "middle")


# The value of intensity_range for percentiles of the training split: see `components.images.auto_range`.
AUTO_RANGE = "auto"
# The grey levels that become 0 and 255.
Levels = tuple[float, float]


def parse_intensity_range(written: str) -> tuple[Levels, ...]:
    """Parses `LOW:HIGH`, such as `0:4095`: the grey levels that become black and white.

    Args:
        written: One range for all stains, or one for each in order, separated by commas; or empty.

    Raises:
        ValueError: If it is invalid. The message says what was expected.
    """
    return tuple(_parse_levels(levels) for levels in written.split(",")) if written else ()


def _parse_levels(written: str) -> Levels:
    low, _, high = written.partition(":")
    try:
        levels = float(low), float(high)
    except ValueError:
        levels = (0.0, 0.0)
    if not (levels[0] < levels[1] and all(map(math.isfinite, levels))):
        raise ValueError("expected LOW:HIGH, the grey levels that become black and white, such as 0:4095")
    return levels


LOCAL_RUNNER = "local"
# A copy of Beam's own list, as a test verifies: importing Beam takes seconds, and machines that submit runs lack it.
BEAM_RUNNERS = (
    "DataflowRunner",
    "BundleBasedDirectRunner",
    "DirectRunner",
    "SwitchingDirectRunner",
    "InteractiveRunner",
    "FlinkRunner",
    "FnApiRunner",
    "KafkaStreamsRunner",
    "PortableRunner",
    "PrismRunner",
    "SparkRunner",
    "TestDirectRunner",
    "TestDataflowRunner",
)


def parse_runner(written: str) -> str:
    """Parses a runner to `local` or Beam's name for it. As in Beam, case does not matter and `Runner` may be omitted.

    Raises:
        ValueError: If it is invalid. The message says what was expected.
    """
    known = {name.lower(): name for name in BEAM_RUNNERS}
    runner = written if written == LOCAL_RUNNER else known.get(written.lower()) or known.get(f"{written.lower()}runner")
    if not runner:
        raise ValueError(f"expected one of {', '.join([LOCAL_RUNNER, *BEAM_RUNNERS])}")
    return runner


MIN_IMAGE_SIZE_PX = 75  # the smallest input of InceptionResNetV2
MAX_IMAGE_SIZE_PX = 3072  # the largest images that the atlas publishes

RULES: dict[str, Rule] = {
    "source": _source,
    "data_root": _place,
    "serving_root": _place,
    "file_pattern": _readable(check_pattern),
    "first_class": _between(0, 1),
    "parallel_transfers": _between(1, 256),
    "model_name": _plain_name,
    "image_size_px": _between(MIN_IMAGE_SIZE_PX, MAX_IMAGE_SIZE_PX),
    "channels": _readable(parse_channels),
    "projection": _one_of(PROJECTIONS),
    "intensity_range": lambda value: "" if value == AUTO_RANGE else _readable(parse_intensity_range)(value),
    "split": _one_of(("grouped", "random")),
    "validation_fraction": _between(0.01, 0.5),
    "test_fraction": _between(0.0, 0.5),
    "split_seed": _between(0, _MAX_SEED),
    "seed": _between(0, _MAX_SEED),
    "max_bad_fraction": _between(0.0, 1.0),
    "beam_runner": _readable(parse_runner),
    "recipe": _one_of(("paper", "strong", "plateau", "high_resolution")),
    "backbone": _one_of(("", "inception_resnet_v2", "densenet121", "convnext_tiny", "efficientnet_v2_s")),
    "loss": _one_of(("", "bce", "focal", "bce_soft_f1")),
    "precision": _one_of(("auto", "float32", "float16", "bfloat16")),
    "serving_precision": _one_of(("float32", "bfloat16")),
    "weights": _not_empty,
    "epochs": _at_least(0),
    "batch_size": _at_least(0),
    "learning_rate": _between(0.0, 10.0),
    "patience": _at_least(0),
    "blessing_min_gain": _between(-1.0, 1.0),
    "blessing_max_class_drop": _between(0.0, 1.0),
}


def check_parameters(**values: Any) -> None:
    """Refuses invalid values.

    Raises:
        ValueError: If any value is invalid. The message names each, what was expected and what was received.
    """
    problems = []
    for name, value in values.items():
        expected = RULES[name](value) if name in RULES else ""
        if expected:
            problems.append(f"{name}: {expected}. Received: {name}={value}")
    if values.get("validation_fraction", 0.0) + values.get("test_fraction", 0.0) >= 1.0:
        problems.append("validation_fraction and test_fraction: expected a sum below 1, to leave samples for training")
    problems += _mismatched_stains(values)
    problems += _needless(values)
    if problems:
        raise ValueError("\n".join(problems))


def _mismatched_stains(values: Mapping[str, Any]) -> list[str]:
    """Problems of filters and ranges, which depend on channels, and channels that the source does not have."""
    channels = values.get("channels", "rgb")
    if RULES["channels"](channels):
        return []
    names = parse_channels(channels)
    problems = []
    filters = values.get("filters", "")
    if expected := _readable(lambda text: parse_filters(text, stains_of_source(names)))(filters):
        problems.append(f"filters: {expected}. Received: filters={filters}")
    written = values.get("intensity_range", "")
    if not RULES["intensity_range"](written) and written.count(",") not in (0, len(names) - 1):
        expected = f"one range, or one for each of {', '.join(names)}"
        problems.append(f"intensity_range: expected {expected}. Received: intensity_range={written}")
    kind = values.get("source", "").partition(":")[0]
    if kind in ("kaggle", "synthetic") and not set(names) <= set(FILTERS):
        problems.append(f"channels: {kind} sources have the stains {', '.join(FILTERS)}. Received: channels={channels}")
    return problems


# The parameters for the layout of a folder, and of a table of labels, with their defaults.
FOLDER_LAYOUT: dict[str, Any] = {"file_pattern": DEFAULT_PATTERN, "filters": "", "labels": ""}
TABLE_LAYOUT: dict[str, Any] = {"id_column": "", "label_column": "", "group_column": "", "first_class": 0}


def _needless(values: Mapping[str, Any]) -> list[str]:
    """Refuses parameters that a run would ignore, so that none is mistaken for one that took effect."""
    kind = values.get("source", "").partition(":")[0]
    problems = []
    if kind == "synthetic" and values.get("classes"):
        problems.append("classes: synthetic samples have the competition's 28 classes. Leave it out, or give another source")
    needless: dict[str, Any] = {"kaggle": FOLDER_LAYOUT, "synthetic": FOLDER_LAYOUT | TABLE_LAYOUT}.get(kind, {})
    if given := [name for name, default in needless.items() if values.get(name, default) != default]:
        problems.append(f"{', '.join(given)}: not for {kind} sources. Leave it out, or give source=dir:<folder>")
    if values.get("split") == "random" and values.get("group_column"):
        problems.append("group_column: split=random keeps no groups together. Leave it out, or give split=grouped")
    return problems
