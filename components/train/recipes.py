"""Training recipes, each with the sources of its choices."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """A training recipe.

    Attributes:
        epochs: The maximum number of epochs.
        batch_size: Images per step, over all GPUs.
        learning_rate: Adam's, before the schedule.
        patience: Training stops after this many epochs without a better validation loss.
        dropout: The share of features that the head drops while training.
        rotation_turns: Images are rotated by up to this many turns either way.
        brightness: Images are multiplied by a factor from exp(-brightness) to exp(brightness), like another exposure.
        loss: See `components.train.losses`.
        label_smoothing: A present class counts as 1 - smoothing/2, an absent one as smoothing/2.
        oversampling: How much more often images of rare classes are shown: 0 not at all, 1 all classes equally often.
        schedule: The learning rate schedule, `constant`, `cosine` or `plateau`: see `components.train.schedule`.
        warmup_epochs: This many epochs first train only the head; ignored without pretrained weights.
        average_decay: The decay per step of an exponential moving average of the weights, which is validated and exported; 0
            for the weights themselves.
        views: Test-time augmentation: how many of the 8 symmetries of the square the exported model averages over.
        backbone: The network before the head: one of `components.train.model.BACKBONES`.
        pooling: How the head reduces each feature map: to its `average`, or to its average and maximum (`average_max`).
        crop: The side of the random square crop of each image in training, as a share of the image's; 1: the whole image.
        crops: The number of such crops, evenly spaced, over which the exported model takes the maximum probabilities: a square
            number, or 1 for the whole image.
        intended_size_px: The minimum side of the images that the recipe is intended for; 0: any.
        intended_channels: Their minimum number of channels.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    dropout: float
    rotation_turns: float
    brightness: float
    loss: str = "bce"
    label_smoothing: float = 0.0
    oversampling: float = 0.0
    schedule: str = "constant"
    warmup_epochs: int = 0
    average_decay: float = 0.0
    views: int = 1
    backbone: str = "inception_resnet_v2"
    pooling: str = "average"
    crop: float = 1.0
    crops: int = 1
    intended_size_px: int = 0
    intended_channels: int = 0

    def crop_px(self, image_size_px: int) -> int:
        """The side of the crops in training."""
        return round(self.crop * image_size_px)

    def input_side_px(self, image_size_px: int) -> int | None:
        """The side of the network's input; None for any, as crops and whole images differ in size."""
        return image_size_px if self.crop == 1.0 else None

    def overridden(
        self,
        epochs: int = 0,
        batch_size: int = 0,
        learning_rate: float = 0.0,
        patience: int = 0,
        loss: str = "",
        backbone: str = "",
    ) -> "Recipe":
        """The recipe with the pipeline's parameters, of which 0 and "" mean the recipe's own value."""
        return replace(
            self,
            epochs=epochs or self.epochs,
            batch_size=batch_size or self.batch_size,
            learning_rate=learning_rate or self.learning_rate,
            patience=patience or self.patience,
            loss=loss or self.loss,
            backbone=backbone or self.backbone,
        )


# "Human Protein Atlas Image Classification Using Deep Learning": Adam at 1e-3, batches of 16, 150 epochs, early stopping on
# the validation loss, and random rotation, flips and brightness on training images. The paper gives neither the patience,
# nor the head's dropout, nor the ranges: those here are ours. A brightness of 0.25 is a gain of 0.78 to 1.28.
_PAPER = Recipe(
    epochs=150,
    batch_size=16,
    learning_rate=1e-3,
    patience=10,
    dropout=0.2,
    rotation_turns=0.5,
    brightness=0.25,
)

# Common to the best solutions of the competition, as far as it fits one network on one GPU:
# - a cosine schedule after a short rise (Loshchilov and Hutter, ICLR 2017; Goyal et al., 2017);
# - one epoch for the head alone, so that its random start does not spoil pretrained layers (Howard and Ruder, ACL 2018);
# - an average of the last weights (Polyak and Juditsky, 1992), and of the predictions on all 8 symmetries of an image, as
#   cells have no orientation.
# It uses neither focal loss, which learns more slowly and whose scores are not probabilities, nor oversampling, which leads to
# memorising the few images of rare classes. See docs/recipes.md.
_STRONG = replace(
    _PAPER,
    schedule="cosine",
    warmup_epochs=1,
    average_decay=0.99,
    views=8,
    patience=20,
)

# For large data sets, and when the number of epochs is open, which a cosine schedule has to know. Like `strong`, but
# - images of rare classes are shown more often, by the square root of their rarity (Mahajan et al., ECCV 2018);
# - the learning rate falls when the validation loss stops falling (as for ResNet: He et al., CVPR 2016);
# - labels are smoothed (Szegedy et al., CVPR 2016), as annotators disagree about weak stains.
_PLATEAU = replace(_STRONG, oversampling=0.5, label_smoothing=0.05, schedule="plateau")

# Common to the best single networks of the competition (github.com/CellProfiling/HPA-competition-solutions):
# - large images with all four stains: the networks above a macro F1 of 0.5 used 384 to 1024 px;
# - average and maximum of each feature map in the head (bestfitting, 1st place): an organelle of a few pixels, such as a
#   centrosome, hardly moves an average over the image;
# - random crops in training, and the maximum over several in prediction (bestfitting: 1024 px; "conv is all you need":
#   ten windows of 384 px).
# Crops replace the 8 views, which would multiply their cost. Losses, external data and thresholds: docs/recipes.md.
_HIGH_RESOLUTION = replace(
    _STRONG,
    views=1,
    pooling="average_max",
    crop=0.75,
    crops=4,
    intended_size_px=512,
    intended_channels=4,
)

RECIPES = {"paper": _PAPER, "strong": _STRONG, "plateau": _PLATEAU, "high_resolution": _HIGH_RESOLUTION}
