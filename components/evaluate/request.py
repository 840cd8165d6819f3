"""Which evaluation is asked for, and whether it exists already: all that a repeated run needs, so it imports little."""

from dataclasses import asdict, dataclass

from components.shared import storage
from components.shared.champion import Champion
from components.shared.fingerprint import fingerprint
from components.shared.manifest import Evaluation, Examples

# Raised when the same model and examples give other figures or another report.
FORMAT = 2

# The files that are published with the manifest.
THRESHOLDS = "thresholds.json"
CLASS_METRICS = "class_metrics.json"
EVALUATION_REPORT = "evaluation_report.html"


@dataclass(frozen=True)
class Request:
    """What to judge, and how.

    Attributes:
        model_fingerprint: The model.
        champion_fingerprint: The model that it is compared with; empty for none.
        blessing_min_gain: As the step's.
        blessing_max_class_drop: As the step's.
        seed: Of the bootstrap.
        champion_evaluation_fingerprint: The evaluation that fitted the thresholds which the champion ships with.
    """

    model_fingerprint: str
    champion_fingerprint: str
    blessing_min_gain: float
    blessing_max_class_drop: float
    seed: int
    champion_evaluation_fingerprint: str = ""

    def inputs(self, examples: Examples) -> dict[str, str]:
        """Fingerprints of what goes in."""
        inputs = {"model": self.model_fingerprint, "examples": examples.fingerprint}
        if not self.champion_fingerprint:
            return inputs
        return inputs | {"champion": self.champion_fingerprint, "champion_evaluation": self.champion_evaluation_fingerprint}

    def parameters(self) -> dict[str, object]:
        """What else changes the result."""
        return {name: value for name, value in asdict(self).items() if not name.endswith("_fingerprint")}

    def fingerprint(self, examples: Examples) -> str:
        """Names the evaluation by its content."""
        return fingerprint("evaluate", FORMAT, self.inputs(examples), self.parameters())

    def uri(self, examples: Examples, data_root: str) -> str:
        """The folder of the evaluation."""
        return storage.join(data_root, "evaluation", self.fingerprint(examples))

    def find(self, examples: Examples, data_root: str, champion: Champion | None = None) -> Evaluation | None:
        """The finished evaluation, if there is one: of the champion itself, also the one that made it the champion."""
        done = Evaluation.find(self.uri(examples, data_root))
        if done or not champion or champion.model_fingerprint != self.model_fingerprint:
            return done
        before = Evaluation.find(storage.join(data_root, "evaluation", champion.evaluation_fingerprint))
        if not before or not self.inputs(examples).items() <= before.inputs.items():
            return None
        asked_alike = before.fingerprint == fingerprint("evaluate", FORMAT, before.inputs, self.parameters())
        return before if asked_alike else None
