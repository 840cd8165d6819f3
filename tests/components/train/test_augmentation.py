import cv2
import numpy as np
import pytest

from components.train.augmentation import augment

SIDE_PX = 33


def _image() -> np.ndarray:
    """Smooth images, in which a rotation by interpolation changes little else."""
    noise = np.random.default_rng(0).uniform(0, 255, (SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def _augment(image: np.ndarray, draws: tuple[float, float], rotation_turns: float, brightness: float) -> np.ndarray:
    return np.asarray(augment(image[None], np.array([draws], np.float32), rotation_turns, brightness))[0]


def test_without_augmentation_images_are_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    same = np.asarray(augment(image, np.ones((2, 2), np.float32), rotation_turns=0.0, brightness=0.0))
    assert same.dtype == np.float32
    assert np.array_equal(same, image)


@pytest.mark.parametrize("angle_degrees", [0.0, 17.0, 90.0, -45.0, 180.0])
def test_images_are_rotated_about_their_centres(angle_degrees: float) -> None:
    image = _image()
    found = _augment(image, (angle_degrees / 180, 0.0), rotation_turns=0.5, brightness=0.0)
    centre = ((SIDE_PX - 1) / 2, (SIDE_PX - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, angle_degrees, 1.0)
    expected = cv2.warpAffine(image, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    inside = (slice(8, -8), slice(8, -8))  # pixels from outside the image are filled differently
    assert np.abs(found[inside] - expected[inside]).max() < 1.5
    assert found.shape == image.shape


def test_each_image_has_its_own_exposure_and_black_stays_black() -> None:
    images = np.stack([np.full((4, 4, 1), level, np.uint8) for level in (100, 100, 250, 0)])
    draws = np.array([[0, 0.5], [0, -1], [0, 1], [0, 1]], np.float32)
    found = np.asarray(augment(images, draws, rotation_turns=0.0, brightness=0.2))[:, 0, 0, 0]
    assert found.tolist() == pytest.approx([100 * np.exp(0.1), 100 * np.exp(-0.2), 255.0, 0.0])
