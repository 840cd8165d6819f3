import numpy as np

from components.reports.pictures import draw, encode_jpeg


def test_a_picture_shows_the_stains_and_beside_them_the_activation_map() -> None:
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[:, :, 2] = 100
    heat = np.array([[1.0, -5.0], [-5.0, -5.0]])
    drawn = draw(pixels, heat)
    assert drawn.shape == (200, 400, 3)
    assert drawn[100, 100].tolist() == [0, 0, 100]
    warm, cold = drawn[10, 210].astype(int), drawn[190, 390].astype(int)
    assert cold.tolist() == [100, 100, 100]
    assert warm[0] > warm[1] > warm[2]
    assert draw(pixels, None).shape == (200, 200, 3)


def test_pictures_of_noise_stay_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    assert 96 * len(encode_jpeg(noise)) * 4 / 3 < 8e6
