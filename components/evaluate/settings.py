"""The parameters of an evaluation, and the search for an existing one. Imports little, because repeated runs need only this."""

from dataclasses import asdict, dataclass

from components import storage
from components.artifacts.fingerprint import fingerprint
from components.artifacts.manifest import Evaluation, Examples
from components.serving.champion import Champion, Pointer
from components.serving.versions import find_versions

# Incremented when the same model and examples give different figures or a different report.
FORMAT = 10

# The files that are published with the manifest.
THRESHOLDS = "thresholds.json"
CLASS_METRICS = "class_metrics.json"
EVALUATION_REPORT = "evaluation_report.html"


@dataclass(frozen=True)
class EvaluateSettings:
    """The parameters of an evaluation.

    Attributes:
        model_fingerprint: The model.
        champion_fingerprint: The model that it is compared with; empty for none.
        blessing_min_gain: The step's parameter.
        blessing_max_class_drop: The step's parameter.
        seed: The seed of the bootstrap and of the folds for thresholds.
        serving_precision: The step's parameter.
        champion_evaluation_fingerprint: The evaluation that fitted the champion's thresholds.
        obstacle: Why the champion cannot be evaluated, if this is already known. It changes the fingerprint, so that the model
            is evaluated again after a repair.
    """

    model_fingerprint: str
    champion_fingerprint: str
    blessing_min_gain: float
    blessing_max_class_drop: float
    seed: int
    serving_precision: str
    champion_evaluation_fingerprint: str = ""
    obstacle: str = ""

    def inputs(self, examples: Examples) -> dict[str, str]:
        """The fingerprints of the inputs."""
        inputs = {"model": self.model_fingerprint, "examples": examples.fingerprint}
        if not self.champion_fingerprint:
            return inputs
        return inputs | {"champion": self.champion_fingerprint, "champion_evaluation": self.champion_evaluation_fingerprint}

    def parameters(self) -> dict[str, object]:
        """The parameters that change the result."""
        return {name: value for name, value in asdict(self).items() if not name.endswith("_fingerprint")}

    def fingerprint(self, examples: Examples) -> str:
        """The fingerprint of the evaluation."""
        return fingerprint("evaluate", FORMAT, self.inputs(examples), self.parameters())

    def uri(self, examples: Examples, data_root: str) -> str:
        """The folder of the evaluation."""
        return storage.join(data_root, "evaluation", self.fingerprint(examples))

    def find(self, examples: Examples, data_root: str, champion: Champion | None = None) -> Evaluation | None:
        """The finished evaluation, if there is one. For the champion's own model, that is the one that blessed it."""
        if champion and champion.model_fingerprint == self.model_fingerprint:
            before = Evaluation.find(storage.join(data_root, "evaluation", champion.evaluation_fingerprint))
            if before and self._asks_for(before, examples):
                return before
        return Evaluation.find(self.uri(examples, data_root))

    def _asks_for(self, before: Evaluation, examples: Examples) -> bool:
        """Whether an earlier evaluation is of the same model, examples and parameters, with the same FORMAT."""
        same = {"model": self.model_fingerprint, "examples": examples.fingerprint}.items() <= before.inputs.items()
        return same and before.fingerprint == fingerprint("evaluate", FORMAT, before.inputs, self.parameters())


def find_obstacle(pointer: Pointer, model_fingerprint: str) -> str:
    """Why the champion is unknown; empty if it is known, or there is none.

    A first push that was killed before it promoted its version leaves no pointer either: the same model then resumes.
    """
    if pointer.damage or pointer.champion:
        return pointer.damage
    whole = [version for version in find_versions(pointer.uri.rpartition("/")[0]) if version.is_complete]
    records = [version.record for version in whole]
    if all(record and record.model_fingerprint == model_fingerprint and not record.champion_generation for record in records):
        return ""
    highest = whole[-1].number
    return (
        f"there is no {pointer.uri}, although there are versions: `python -m pipeline models rollback {highest}` makes the "
        "highest one, which TensorFlow Serving loads, the champion again"
    )
