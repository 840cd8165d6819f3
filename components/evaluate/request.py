"""Which evaluation is asked for, and whether it exists already: all that a repeated run needs, so it imports little."""

from dataclasses import dataclass

from components.shared import storage
from components.shared.fingerprint import fingerprint
from components.shared.manifest import Evaluation, Examples

# Raised when the same model and examples give other figures or another report.
FORMAT = 1

# The files that are published with the manifest.
THRESHOLDS = "thresholds.json"
CLASS_METRICS = "class_metrics.json"
EVALUATION_REPORT = "evaluation_report.html"


@dataclass(frozen=True)
class Request:
    """What to judge, and how."""

    model_fingerprint: str
    blessing_min_gain: float

    def fingerprint(self, examples: Examples) -> str:
        """Names the evaluation by its content."""
        inputs = {"model": self.model_fingerprint, "examples": examples.fingerprint}
        return fingerprint("evaluate", FORMAT, inputs, {"blessing_min_gain": self.blessing_min_gain})

    def uri(self, examples: Examples, data_root: str) -> str:
        """The folder of the evaluation."""
        return storage.join(data_root, "evaluation", self.fingerprint(examples))

    def find(self, examples: Examples, data_root: str) -> Evaluation | None:
        """The finished evaluation, if there is one."""
        return Evaluation.find(self.uri(examples, data_root))
