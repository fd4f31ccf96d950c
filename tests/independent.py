"""The embedded digits, the random streams and the formulas of the scores, written anew from files and papers.

Nothing here imports the package: what a run reports is compared with what these make of the same files.
"""

import csv

import numpy as np
import scipy.linalg
import torch
from PIL import Image
from scipy.ndimage import correlate1d
from torch.nn import functional as F


def digits(size):
    """Returns scikit-learn's digits, blown up bicubically: (1797, 1, size, size) uint8, and (1797,) labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy(np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16))).float()
    enlarged = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return enlarged.round().clamp(0, 255).to(torch.uint8), torch.from_numpy(labels.astype(np.int64))


def held_out(count, split_seed=0):
    """Returns which of `count` images train, validate and test: of a permutation the first tenth tests."""
    order, tenth = np.random.default_rng([23, split_seed]).permutation(count), round(0.1 * count)
    parts = {"test": order[:tenth], "val": order[tenth : 2 * tenth], "train": order[2 * tenth :]}
    return {name: np.sort(part) for name, part in parts.items()}


def source(*key):
    """Returns the random numbers that a key names."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def uniform_of_image(place, count, *key):
    """Returns the numbers in [0, 1) that a key names for the image at a place: SplitMix64, of which 24 bits count."""
    most, state = 2**64 - 1, np.random.SeedSequence(key).generate_state(1, np.uint64)[0]

    def mixed(value):
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & most
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & most
        return value ^ (value >> 31)

    seed = mixed((mixed(place) + (int(state) >> 1)) & most)
    return [(mixed((seed + turn * 0x9E3779B97F4A7C15) & most) >> 40) / 2**24 for turn in range(1, count + 1)]


def batch_of(step, count, size, seed=0):
    """Returns which of `count` training images make up the batch of an iteration, and which of them are mirrored."""
    epoch, number = divmod(step, count // size)
    order = np.random.default_rng([21, seed, epoch]).permutation(count)
    mirrored = torch.rand(size, generator=source(22, seed, epoch, number + 1)) < 0.5
    return order[number * size : (number + 1) * size], mirrored


def read_pictures(files):
    """Returns grey picture files as (N, 1, H, W) uint8."""
    return torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files]))[:, None]


def tiles(file, size):
    """Returns the images of a grid with two pixels between them, row by row: (N, 1, size, size) uint8."""
    grid = torch.from_numpy(np.asarray(Image.open(file)).copy())
    places = [range(2, length - size, size + 2) for length in grid.shape]
    return torch.stack([grid[y : y + size, x : x + size] for y in places[0] for x in places[1]])[:, None]


def curves(file):
    """Returns the rows of a run's CSV file without what depends on the machine, and no row that holds nothing else."""
    measured, positions = (
        {"images_per_second", "peak_memory_gib", "validation_seconds"},
        {"step", "images_seen", "epoch"},
    )
    with open(file, newline="") as opened:
        rows = [{name: row[name] for name in row if name not in measured} for row in csv.DictReader(opened)]
    return [row for row in rows if any(value for name, value in row.items() if name not in positions)]


def column(file, name):
    """Returns the values of a column of a run's CSV file."""
    with open(file, newline="") as table:
        return [float(row[name]) for row in csv.DictReader(table) if row.get(name)]


def frechet(a, b, ddof=1):
    """Returns the Fréchet distance of two arrays of features (N, D), by the eigenvalues of Σ₁Σ₂, each of N − ddof."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    first, second = (np.cov(rows, rowvar=False, ddof=ddof) for rows in (a, b))
    # The trace of a root is the sum of the roots of the eigenvalues, which scipy's sqrtm needs regular matrices for.
    shared = np.sqrt(scipy.linalg.eigvals(first @ second).real.clip(min=0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * shared)


def psnr(a, b):
    """Returns 10 log₁₀(255² / mean squared error) of each of two (N, C, H, W) uint8 arrays' images."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return 10 * np.log10(255**2 / ((a - b) ** 2).mean((1, 2, 3)))


def ssim(a, b):
    """Returns that of Wang et al. 2004, with a Gaussian window of 11 pixels, the image mirrored at its border."""
    return _ssim_and_contrast(a, b)[0]


def ms_ssim(a, b):
    """Returns that of Wang et al. 2003: the product of five scales to their weights.

    Of the coarsest the whole similarity, of the others the contrasts of the windows that lie inside the image.
    """
    result, scales = 1.0, (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    for number, weight in enumerate(scales):
        whole, contrast = _ssim_and_contrast(a, b)
        result = result * (whole if number == len(scales) - 1 else contrast) ** weight
        a, b = (x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2] for x in (a, b))
        a, b = (x.reshape(*x.shape[:2], x.shape[2] // 2, 2, -1, 2).mean((3, 5)) for x in (a, b))
    return result


def _ssim_and_contrast(a, b):
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x):
        return correlate1d(correlate1d(x, window, axis=-1, mode="mirror"), window, axis=-2, mode="mirror")

    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ma, mb = blur(a), blur(b)
    va, vb, vab = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    contrast = (2 * vab + c2) / (va + vb + c2)
    values = (2 * ma * mb + c1) / (ma**2 + mb**2 + c1) * contrast
    return values.mean((-3, -2, -1)), contrast[..., 5:-5, 5:-5].mean((-3, -2, -1))
