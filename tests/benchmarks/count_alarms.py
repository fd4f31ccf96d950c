"""Counts how often `missed` and `class_missed` alarm of real images, and where half of a class's kinds are missing.

    python tests/benchmarks/count_alarms.py --splits 300

The embedded digits are split at random: one part takes the place of samples, the other is the reference. Classes are
groups of digits, each of which is a kind that samples of the class may lack: half of the kinds of one class are left
out, and as many samples are drawn from the others. Where a class is one digit it is halved along its first principal
component. Features are those of `DigitsFeatures`.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import independent
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.modes import ALARM, missed_by_class, missed_share

# How many classes the digits are grouped into, and how many of the 1,797 images take the place of samples.
SETTINGS = [(10, 900), (5, 900), (5, 500), (5, 1290), (2, 1600), (2, 200)]


def without_half(rows: Tensor, classes: Tensor, digits: Tensor, number: int, source: torch.Generator) -> Tensor:
    """Returns features, those of a class drawn from half of its digits or, of one digit, from one side of its mean."""
    own = (classes == number).nonzero()[:, 0]
    kinds = digits[own].unique()
    if len(kinds) > 1:
        shown = kinds[torch.randperm(len(kinds), generator=source)[: len(kinds) // 2]]
        pool = own[torch.isin(digits[own], shown)]
    else:
        axis = torch.pca_lowrank(rows[own], 1)[2][:, 0]
        along = (rows[own] - rows[own].mean(0)) @ axis
        pool = own[along < 0]
    made = rows.clone()
    made[own] = rows[pool[torch.randint(len(pool), (len(own),), generator=source)]]
    return made


def main(splits: int) -> None:
    """Prints a line for each setting."""
    pixels, digits = independent.digits(32)
    features, source = DigitsFeatures()(pixels), torch.Generator().manual_seed(0)
    for classes, count in SETTINGS:
        labels = digits % classes
        overall, real, judged, alarms, noticed, largest, least = 0, 0, 0, 0, 0, 0.0, 1.0
        for _ in range(splits):
            order = torch.randperm(len(features), generator=source)
            made, held = order[:count], order[count:]
            overall += missed_share(features[made], features[held]) > ALARM
            shares = missed_by_class(features[made], labels[made], features[held], labels[held], classes)
            known = shares.isfinite().nonzero()[:, 0]
            if not len(known):
                continue
            real, judged = real + 1, judged + len(known)
            largest, alarms = max(largest, float(shares[known].max())), alarms + bool((shares[known] > ALARM).any())
            number = int(known[torch.randint(len(known), (1,), generator=source)])
            spoilt = without_half(features[made], labels[made], digits[made], number, source)
            share = missed_by_class(spoilt, labels[made], features[held], labels[held], classes)[number]
            least, noticed = min(least, float(share)), noticed + bool(share > ALARM)
        print(
            f"{classes} classes, {count} images for samples and {len(features) - count} real ones: {splits} splits, "
            f"{overall} alarms of all images; {real} splits with {judged} judged classes, {alarms} alarms, "
            f"largest share {largest:.3f}; without half of the kinds {noticed} alarms, least share {least:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=300)
    main(parser.parse_args().splits)
