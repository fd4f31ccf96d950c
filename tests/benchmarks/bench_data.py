"""Images per second of the data module against torchvision's data set, DataLoader and transforms.

    python tests/benchmarks/bench_data.py --root DIR [--rounds 5]

MNIST at 32x32 in batches of 128 as float32 in [-1, 1], half of the images mirrored: one epoch of ours and a tenth of
one of torchvision's, in turn, in one process. DIR holds MNIST/raw.
"""

import argparse
import os
import statistics
import time

import torch
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import MNIST

BATCH, SIZE, PART = 128, 32, 6_000


def rate(batches, prepare) -> float:
    """Images per second of one pass."""
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += len(prepare(batch))
    return count / (time.perf_counter() - start)


def torchvision_loader(root: str, workers: int) -> DataLoader:
    steps = [transforms.Resize(SIZE), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    data = datasets.MNIST(root, train=True, transform=transforms.Compose([*steps, transforms.Normalize(0.5, 0.5)]))
    part = Subset(data, range(PART))
    return DataLoader(part, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = ImageDataModule(MNIST(options.root, download=False), size=SIZE, batch_size=BATCH, flip=True)
    data.prepare_data()
    ours = data.train_dataloader()
    theirs = {workers: torchvision_loader(options.root, workers) for workers in (0, os.cpu_count() or 1)}
    rate(ours, lambda batch: data.on_after_batch_transfer(batch, 0).images)
    for loader in theirs.values():
        rate(loader, lambda batch: batch[0])
    rates: dict[str, list[float]] = {"ours": [], **{f"torchvision, {n} workers": [] for n in theirs}}
    for _ in range(options.rounds):
        rates["ours"].append(rate(ours, lambda batch: data.on_after_batch_transfer(batch, 0).images))
        for workers, loader in theirs.items():
            rates[f"torchvision, {workers} workers"].append(rate(loader, lambda batch: batch[0]))
    for name, values in rates.items():
        print(f"{name}: {statistics.median(values):,.0f} images/s")
    best = [max(others) for others in zip(*(v for n, v in rates.items() if n != "ours"), strict=True)]
    ratios = [a / b for a, b in zip(rates["ours"], best, strict=True)]
    print(f"median ratio to torchvision's better: {statistics.median(ratios):.1f}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
