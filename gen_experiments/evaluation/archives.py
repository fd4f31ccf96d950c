"""Statistics, features and samples in files of other tools: NumPy archives without pickles."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.metrics.frechet import Moments
from gen_experiments.storage import atomic_write
from gen_experiments.untrusted.arrays import archive_names, read_archive
from gen_experiments.untrusted.unreadable import Unreadable

EXTRACTOR = "extractor"  # an additional array, which other tools ignore: the fingerprint of the extractor
COUNT = "count"
Kind = Literal["samples", "statistics", "features"]


def kind_of(path: Path) -> Kind:
    """Returns whether an archive holds images (`arr_0`), statistics (`mu`, `sigma`) or features (`reps`).

    Raises:
        UserError: it holds none of them, or cannot be read.
    """
    try:
        names = archive_names(path)
    except Unreadable as error:
        raise UserError(f"{path} is no NumPy archive ({error})") from error
    if "arr_0" in names:
        return "samples"
    if {"mu", "sigma"} <= names:
        return "statistics"
    if "reps" in names:
        return "features"
    raise UserError(
        f"{path} holds neither images (arr_0) nor statistics (mu, sigma) nor features (reps): see the command `stats`"
    )


def read_features(path: Path, dim: int, fingerprint: str) -> Tensor:
    """Returns the features of an archive in the form of dgm-eval (https://github.com/layer6ai-labs/dgm-eval): `reps`.

    Args:
        path: the archive.
        dim: D of the extractor.
        fingerprint: of the extractor; archives of `write_features` contain it.

    Returns:
        (N, D) float32, N >= 2.

    Raises:
        UserError: there is no such array, or the features are of another extractor or not finite.
    """
    features = _read(path, "reps", "f", (None,))
    _check_extractor(path, features.shape[1], dim, fingerprint)
    if not np.isfinite(features).all():
        raise UserError(f"{path} holds features that are not finite: make them anew")
    return torch.from_numpy(features.astype(np.float32))


def write_features(path: Path, features: Tensor, fingerprint: str) -> None:
    """Writes (N, D) features as `reps`, with the extractor's fingerprint.

    Raises:
        UserError: the file cannot be written.
    """
    arrays: dict[str, Any] = {"reps": features.cpu().numpy(), EXTRACTOR: np.array([fingerprint])}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_samples(path: Path) -> Tensor:
    """Returns the images of an archive in the form of guided-diffusion (ADM): `arr_0`, (N, H, W, C) uint8.

    Returns:
        (N, C, H, W) uint8, C = 1 to 4.

    Raises:
        UserError: it holds no such array.
    """
    array = _read(path, "arr_0", "u", (None, None, None))
    if array.dtype != np.uint8 or not 1 <= array.shape[-1] <= 4:
        raise UserError(f"{path} holds {array.dtype} images of {array.shape[-1]} channels: needed are uint8 of 1 to 4")
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def has_statistics(path: Path) -> bool:
    """Returns whether an archive holds statistics, as ADM's references do in addition to images."""
    return {"mu", "sigma"} <= archive_names(path)


def read_statistics(path: Path, dim: int, fingerprint: str) -> Moments:
    """Returns the statistics of an archive in the form of clean-fid, EDM and ADM: `mu` (D,) and `sigma` (D, D).

    Args:
        path: the archive.
        dim: D of the extractor.
        fingerprint: of the extractor; archives of `write_statistics` contain it.

    Raises:
        UserError: there are no such arrays, or they are of other features, not finite or not symmetric.
    """
    _check_extractor(path, len(_read(path, "mu", "f", ())), dim, fingerprint)
    return _moments(path, dim, "mu", "sigma")


def read_spatial(path: Path, dim: int) -> Moments | None:
    """Returns the statistics of features at places in the form of ADM, `mu_s` and `sigma_s`; None if there are none.

    Raises:
        UserError: they have another number of features, or are not finite or not symmetric.
    """
    return _moments(path, dim, "mu_s", "sigma_s") if {"mu_s", "sigma_s"} <= archive_names(path) else None


def _moments(path: Path, dim: int, mu: str, sigma: str) -> Moments:
    mean, covariance = _read(path, mu, "f", ()), _read(path, sigma, "f", (None,))
    if mean.shape != (dim,) or covariance.shape != (dim, dim):
        raise UserError(f"{path} holds a {sigma} of shape {covariance.shape}, not {(dim, dim)}: it is no covariance")
    if not np.isfinite(mean).all() or not np.isfinite(covariance).all():
        raise UserError(f"{path} holds statistics that are not finite: make them anew")
    if not np.allclose(covariance, covariance.T, rtol=1e-5, atol=1e-8 * float(np.abs(covariance).max())):
        raise UserError(f"{path} holds a {sigma} that is not symmetric: it is no covariance")
    count = int(_read(path, COUNT, "i", ())[0]) if COUNT in archive_names(path) else None
    if np.diagonal(covariance).min() < -1e-8 * float(np.abs(covariance).max()):
        raise UserError(f"{path} holds a {sigma} with negative variances: it is no covariance")
    symmetric = torch.from_numpy(covariance.astype(np.float64))
    return Moments(torch.from_numpy(mean.astype(np.float64)), (symmetric + symmetric.T) / 2, count)


def write_statistics(path: Path, moments: Moments, fingerprint: str, spatial: Moments | None = None) -> None:
    """Writes moments as `mu` and `sigma` (float64, divided by N − 1), with the extractor's fingerprint and the count.

    Moments of features at places, if given, are written as `mu_s` and `sigma_s`.

    Raises:
        UserError: the file cannot be written.
    """
    arrays: dict[str, Any] = {"mu": moments.mean.numpy(), "sigma": moments.covariance.numpy()}
    arrays[EXTRACTOR] = np.array([fingerprint])
    if spatial is not None:
        arrays |= {"mu_s": spatial.mean.numpy(), "sigma_s": spatial.covariance.numpy()}
    if moments.count is not None:
        arrays[COUNT] = np.array([moments.count])
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _check_extractor(path: Path, length: int, dim: int, fingerprint: str) -> None:
    if length != dim:
        raise UserError(
            f"{path} holds statistics of {length} features where the extractor has {dim}: "
            "name by --extractor the one that they were made with"
        )
    made_with = str(_read(path, EXTRACTOR, "U", ())[0]) if EXTRACTOR in archive_names(path) else fingerprint
    if made_with != fingerprint:
        raise UserError(f"{path} holds statistics by {made_with}, not by {fingerprint}: name it by --extractor")


def _read(path: Path, name: str, kinds: str, shape: tuple[int | None, ...]) -> Any:
    try:
        return read_archive(path, name, kinds, shape)
    except Unreadable as error:
        raise UserError(f"{path} cannot be used: {error}") from error
