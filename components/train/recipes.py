"""How a network is trained: what is no parameter of the pipeline, and the values that parameters default to."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """A way of training.

    Attributes:
        epochs: The most epochs to train for.
        batch_size: Images per step.
        learning_rate: Adam's.
        patience: Epochs without a better validation loss after which training stops.
        dropout: The share of features that the head drops while training.
        rotation_turns: Images are rotated by up to this many turns either way.
        brightness: Images get up to this share of the grey scale brighter or darker.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    dropout: float
    rotation_turns: float
    brightness: float

    def overridden(self, epochs: int, batch_size: int, learning_rate: float, patience: int) -> "Recipe":
        """The recipe with the pipeline's parameters put in, of which 0 means "as the recipe says"."""
        return replace(
            self,
            epochs=epochs or self.epochs,
            batch_size=batch_size or self.batch_size,
            learning_rate=learning_rate or self.learning_rate,
            patience=patience or self.patience,
        )


RECIPES = {
    # "Human Protein Atlas Image Classification Using Deep Learning": Adam at 1e-3, batches of 16, 150 epochs, early stopping on
    # the validation loss, and random rotation, flips and brightness on training images. The paper gives neither the patience,
    # nor the head's dropout, nor the ranges: those here are ours.
    "paper": Recipe(
        epochs=150,
        batch_size=16,
        learning_rate=1e-3,
        patience=10,
        dropout=0.2,
        rotation_turns=0.5,
        brightness=0.1,
    ),
}
