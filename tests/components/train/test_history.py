from components.train.history import History


def test_patience_counts_the_epochs_since_the_best() -> None:
    history = History({"loss": [1, 1, 1, 1], "val_loss": [0.9, 0.5, 0.6, 0.5]})
    assert history.best_epoch == 1
    assert history.is_exhausted(patience=2)
    assert not history.is_exhausted(patience=3)


def test_the_figures_of_the_best_epoch_are_those_of_its_number() -> None:
    history = History()
    for loss in (0.9, 0.5, 0.6):
        history.append({"loss": loss + 1, "val_loss": loss}, images_per_s=2.0)
    assert history.at_best() == {"loss": 1.5, "val_loss": 0.5}
    assert history.images_per_s == [2.0] * 3


def test_the_last_epoch_is_described_in_one_line() -> None:
    curves = {"loss": [0.5], "accuracy": [0.9], "val_loss": [0.4], "val_accuracy": [0.95], "val_f1_macro": [0.25]}
    expected = "epoch 1/5: loss 0.5000, accuracy 0.9000; validation loss 0.4000, accuracy 0.9500, macro F1 0.250 (best so far)"
    assert History(curves).describe_last(5) == expected
