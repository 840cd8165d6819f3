"""Statistics of pixels that are cheap enough to compute for every image."""

import cv2
import numpy as np

NUM_LEVELS = 256
# Of stored histograms: fine enough for a plot, and small, because each sample has some.
NUM_BINS = 64
# Every eighth row gives the same plot in an eighth of the time.
_ROW_STEP = 8


def channel_moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each channel and the mean of its squares, from exact integer sums.

    Args:
        pixels: uint8, shape (height, width, channels).

    Returns:
        Two float64 arrays, shape (channels,): in grey levels, and in squared grey levels.
    """
    channels = cv2.split(pixels)
    num_pixels = channels[0].size
    mean = np.array([cv2.sumElems(channel)[0] for channel in channels]) / num_pixels
    # OpenCV squares a square root: rounding restores the whole number.
    mean_square = np.rint([cv2.norm(channel, cv2.NORM_L2SQR) for channel in channels]) / num_pixels
    return mean, mean_square


def channel_histograms(pixels: np.ndarray) -> np.ndarray:
    """Counts the grey levels of each channel on every eighth row, for plots and for warnings.

    Args:
        pixels: uint8, shape (height, width, channels).

    Returns:
        int64, shape (channels, 256).
    """
    rows = pixels[::_ROW_STEP]
    counts = [cv2.calcHist([rows], [channel], None, [NUM_LEVELS], [0, NUM_LEVELS]) for channel in range(rows.shape[2])]
    return np.stack(counts).reshape(-1, NUM_LEVELS).astype(np.int64)


def bin_histograms(counts: np.ndarray) -> np.ndarray:
    """Merges groups of four grey levels, so that histograms take less space.

    Args:
        counts: Shape (channels, 256).

    Returns:
        uint32, shape (channels, 64).
    """
    return counts.reshape(len(counts), NUM_BINS, -1).sum(axis=2).astype(np.uint32)
