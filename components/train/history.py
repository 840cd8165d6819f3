"""The history of a training run, epoch by epoch."""

from dataclasses import dataclass, field


@dataclass
class History:
    """The finished epochs of a training run.

    Attributes:
        curves: One number per epoch for each of `loss` and `accuracy` (means over the epoch, on augmented images), `val_loss`,
            `val_accuracy`, `val_f1_macro` (at the best threshold on validation) and `learning_rate` (of the last step).
        images_per_s: The speed of each epoch: the only figure that depends on the machine.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    images_per_s: list[float] = field(default_factory=list)

    @property
    def num_epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.curves.get("loss", []))

    @property
    def best_epoch(self) -> int:
        """The epoch of the smallest validation loss, from 0; -1 before the first."""
        losses = self.val_losses
        return min(range(len(losses)), key=losses.__getitem__, default=-1)

    @property
    def val_losses(self) -> list[float]:
        """The validation loss after each epoch."""
        return self.curves.get("val_loss", [])

    def append(self, figures: dict[str, float], images_per_s: float) -> None:
        """Adds a finished epoch."""
        self.images_per_s.append(images_per_s)
        for name, value in figures.items():
            self.curves.setdefault(name, []).append(float(value))

    def at_best(self) -> dict[str, float]:
        """The figures of the best epoch."""
        return {name: values[self.best_epoch] for name, values in self.curves.items()}

    def describe_last(self, num_planned: int) -> str:
        """One line on the last epoch, for the log."""
        last = {name: values[-1] for name, values in self.curves.items()}
        best = " (best so far)" if self.best_epoch == self.num_epochs - 1 else ""
        return (
            f"epoch {self.num_epochs}/{num_planned}: loss {last['loss']:.4f}, accuracy {last['accuracy']:.4f}; "
            f"validation loss {last['val_loss']:.4f}, accuracy {last['val_accuracy']:.4f}, "
            f"macro F1 {last['val_f1_macro']:.3f}{best}"
        )

    def is_exhausted(self, patience: int) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        return self.num_epochs - 1 - self.best_epoch >= patience
