"""The settings of a training run and the lookup of its result: all that a repeated run needs, with few imports."""

from dataclasses import asdict, dataclass

from components import storage
from components.artifacts.fingerprint import fingerprint
from components.artifacts.manifest import Examples, TrainedModel
from components.train.recipes import Recipe

# Incremented when the same examples and parameters give another model.
FORMAT = 8

# The files that are published with the manifest.
MODEL = "model"
TRAINING_REPORT = "training_report.html"
HISTORY = "history.json"
# The folder of the checkpoints beside them, which is removed at the end.
CHECKPOINTS = "checkpoints"

# The values of `weights` that are not a file.
IMAGENET, NONE = "imagenet", "none"


@dataclass(frozen=True)
class TrainSettings:
    """The requested model.

    With `warm_start`, training starts from the champion's weights. The champion is not part of the fingerprint, so that a run
    repeated after the model itself was promoted finds the training and does not train again.
    """

    recipe_name: str
    recipe: Recipe
    weights: str
    seed: int
    precision: str = "auto"
    warm_start: bool = False

    def parameters(self) -> dict[str, object]:
        """Everything that changes the model, except the examples. A weights file counts by its content."""
        is_file = self.weights not in (IMAGENET, NONE) and storage.exists(self.weights)
        weights = f"crc32c:{storage.stored_crc32c(self.weights)}" if is_file else self.weights
        own = {"recipe": self.recipe_name, "weights": weights, "seed": self.seed, "precision": self.precision}
        return {**asdict(self.recipe), **own, "warm_start": self.warm_start}

    def uri(self, examples: Examples, data_root: str) -> str:
        """The folder of the training."""
        return storage.join(data_root, "training", self.fingerprint(examples))

    def fingerprint(self, examples: Examples) -> str:
        """The fingerprint of the training, by its content."""
        return fingerprint("train", FORMAT, {"examples": examples.fingerprint}, self.parameters())

    def find(self, examples: Examples, data_root: str) -> TrainedModel | None:
        """The finished training, if there is one."""
        return TrainedModel.find(self.uri(examples, data_root))
