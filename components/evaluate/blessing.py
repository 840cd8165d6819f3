"""Whether a model may be served, and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The decision, and its reasons in words."""

    blessed: bool
    reasons: list[str]


def bless(metrics: dict[str, float], judged_on: str, min_gain: float) -> Verdict:
    """Blesses a model whose macro F1 is above the floor, on samples that nothing was chosen by.

    Macro F1 alone decides: accuracy says little where most classes are absent from most images.

    Args:
        metrics: A scoreboard.
        judged_on: The split that it was computed on.
        min_gain: How far above the floor the macro F1 must be.
    """
    if judged_on != "test":
        return Verdict(False, [f"there is no test split to judge on: what {judged_on} shows, the model was chosen by"])
    gain = metrics["f1_macro"] - metrics["f1_macro_floor"]
    comparison = (
        f"macro F1 on the test split is {metrics['f1_macro']:.3f}; always answering yes gets {metrics['f1_macro_floor']:.3f}; "
        f"blessing_min_gain asks for more than {min_gain:+.3f}"
    )
    return Verdict(gain > min_gain, [comparison])
