"""What model is asked for, and whether it exists already: all that a repeated run needs, so it imports little."""

from dataclasses import asdict, dataclass

from components import storage
from components.artifacts.fingerprint import fingerprint
from components.artifacts.manifest import Examples, TrainedModel
from components.train.recipes import Recipe

# Raised when the same examples and parameters give another model.
FORMAT = 6

# The files that are published with the manifest.
MODEL = "model"
TRAINING_REPORT = "training_report.html"
HISTORY = "history.json"

# What `weights` may be beside a file.
IMAGENET, NONE = "imagenet", "none"


@dataclass(frozen=True)
class TrainSettings:
    """The requested model.

    With `warm_start`, training starts from the champion's weights. Which champion that is has no part in the fingerprint: a run
    that is repeated after the model itself was made the champion, say, is to find the training, not to train once more.
    """

    recipe_name: str
    recipe: Recipe
    weights: str
    seed: int
    precision: str = "auto"
    warm_start: bool = False

    def parameters(self) -> dict[str, object]:
        """What changes the model, beside the examples. A weights file counts by its content."""
        is_file = self.weights not in (IMAGENET, NONE) and storage.exists(self.weights)
        weights = f"crc32c:{storage.stored_crc32c(self.weights)}" if is_file else self.weights
        own = {"recipe": self.recipe_name, "weights": weights, "seed": self.seed, "precision": self.precision}
        return {**asdict(self.recipe), **own, "warm_start": self.warm_start}

    def uri(self, examples: Examples, data_root: str) -> str:
        """The folder of the training."""
        return storage.join(data_root, "training", self.fingerprint(examples))

    def fingerprint(self, examples: Examples) -> str:
        """Names the training by its content."""
        return fingerprint("train", FORMAT, {"examples": examples.fingerprint}, self.parameters())

    def find(self, examples: Examples, data_root: str) -> TrainedModel | None:
        """The finished training, if there is one."""
        return TrainedModel.find(self.uri(examples, data_root))
