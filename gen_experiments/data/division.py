"""Splits that a source lacks, held out of its training images in whole groups."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gen_experiments.errors import UserError, quoted
from gen_experiments.randomness import Stream


def held_out(
    count: int, wanted: Mapping[str, float], seed: int, groups: NDArray[np.int64] | None = None
) -> dict[str, NDArray[np.int64]]:
    """Returns the images that are held out for each split, drawn by the seed alone, and the rest as "train".

    Groups are drawn for a split until they have at least as many images as wanted.

    Args:
        count: number of images.
        wanted: for each split a share if below 1, else a number of images; > 0.
        seed: of the draws.
        groups: the number of each image's group, (count,); None if each image is its own group.

    Returns:
        Numbers of images in ascending order.

    Raises:
        UserError: no training images are left.
    """
    group_of = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(group_of)
    order = np.random.default_rng([Stream.SPLIT, seed]).permutation(len(sizes))
    split_of_group, names = np.full(len(sizes), -1), list(wanted)
    for number, name in enumerate(names):
        images = max(1, round(wanted[name] * count if wanted[name] < 1 else wanted[name]))
        drawn = 1 + int(np.searchsorted(np.cumsum(sizes[order]), images))
        if drawn >= len(order):
            whole = "" if groups is None else f" in {len(sizes)} groups"
            raise UserError(f"data.{name}_size={wanted[name]:g} leaves no training images of {count}{whole}: lower it")
        split_of_group[order[:drawn]], order = number, order[drawn:]
    split_of = split_of_group[group_of]
    return {name: np.flatnonzero(split_of == number) for number, name in [*enumerate(names), (-1, "train")]}


def check_apart(groups: Mapping[str, NDArray[np.int64]], names: Sequence[str] | None = None) -> None:
    """Refuses splits that share a group.

    Args:
        groups: the numbers of the groups of each split's images.
        names: of the groups, for the message.

    Raises:
        UserError: a group is in two splits.
    """
    for one, other in itertools.combinations(sorted(groups), 2):
        torn = np.intersect1d(groups[one], groups[other])
        if len(torn):
            first = torn[0] if names is None else quoted(names[torn[0]])
            raise UserError(
                f"{len(torn)} groups, such as {first}, are in {one} and in {other}: move each into one of them"
            )
