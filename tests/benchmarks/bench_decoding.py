"""Images per second of pictures that are decoded as they are read, against torchvision's folder and DataLoader.

    python tests/benchmarks/bench_decoding.py [--rounds 5] [--count 400]

JPEG photographs of 500x375 pixels, cut from the sample pictures of scikit-image and scikit-learn and saved at quality
90, to batches of 50 at 256x256 as uint8, on two threads or worker processes: all of them by each way in turn, in one
process. torchvision's transforms are Resize(256), CenterCrop(256) and PILToTensor, with 0, 1 and 2 workers that stay;
the ratio is to the fastest of these in the same round. "The decoder alone" is simplejpeg with the same options over
bytes in memory, by two threads that drop each picture at once: the ceiling of what is decoded fast and then resized.
The share of it is printed by the clock and in this process's processor time, which other work on the machine disturbs
less. At the end a step of half, once and twice the time of a batch takes each batch and waits, as a step on a GPU
leaves the cores alone: printed is the time of the pass over that of all its steps or, if that is longer, half of what
the two threads spent on portions of batches in the same pass, so that other work on the machine cancels out.
The first batch is loaded before any step: of n batches it cannot be below 1 + 1/n where both take the same time.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import simplejpeg
import skimage.data
import sklearn.datasets
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from gen_experiments.data.cache import cached_split, decoded_as_read
from gen_experiments.data.framing import Framing
from gen_experiments.data.sampling import EvaluationBatches
from gen_experiments.data.sources import ImageFolder

BATCH, SIZE, WIDTH, HEIGHT, THREADS = 50, 256, 500, 375, 2


class Watched(ThreadPoolExecutor):
    """Sums up the seconds that its threads work."""

    worked = 0.0

    def submit(self, portion, *arguments):
        def watched():
            start = time.perf_counter()
            portion(*arguments)
            self.worked += time.perf_counter() - start

        return super().submit(watched)


def write_photographs(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    photographs = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.rocket()]
    photographs += sklearn.datasets.load_sample_images().images
    source = np.random.default_rng(0)
    for number in range(count):
        whole = photographs[number % len(photographs)]
        top = source.integers(0, whole.shape[0] - HEIGHT + 1)
        left = source.integers(0, whole.shape[1] - WIDTH + 1)
        piece = Image.fromarray(whole[top : top + HEIGHT, left : left + WIDTH])
        piece.save(folder / f"{number:05d}.jpg", quality=90)


def rates_of(batches, images) -> tuple[float, float]:
    """Images per second of one pass, by the clock and of this process's processor time."""
    start, processor = time.perf_counter(), time.process_time()
    count = sum(len(images(batch)) for batch in batches)
    return count / (time.perf_counter() - start), count / (time.process_time() - processor)


def decoder_alone(root: str):
    """Decodes photographs in batches and drops them, in a function that can be called again."""
    files = [path.read_bytes() for path in sorted(Path(root).rglob("*.jpg"))]
    pool = ThreadPoolExecutor(THREADS)

    def decode(part):
        for data in part:
            simplejpeg.decode_jpeg(data, fastdct=True, fastupsample=True)
        return part

    return lambda: pool.map(decode, [files[first : first + BATCH] for first in range(0, len(files), BATCH)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder) / "all" / "photographs", options.count)
        compare(f"{folder}/all", options.rounds)


def compare(root: str, rounds: int) -> None:
    source = ImageFolder(root)
    steps = transforms.Compose([transforms.Resize(SIZE), transforms.CenterCrop(SIZE), transforms.PILToTensor()])
    data = datasets.ImageFolder(root, steps)
    fast = decoded_as_read(source, "train", SIZE, THREADS, Framing(fast=True))
    fast.pixels._pool = Watched(THREADS)
    ways = {
        "as read": EvaluationBatches(decoded_as_read(source, "train", SIZE, THREADS), BATCH),
        "as read, fast": EvaluationBatches(fast, BATCH),
        "decoded once": EvaluationBatches(cached_split(source, "train", SIZE), BATCH),
        **{
            f"torchvision, {n} workers": DataLoader(data, BATCH, num_workers=n, persistent_workers=n > 0)
            for n in (0, 1, 2)
        },
    }
    alone = decoder_alone(root)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in [*ways, "the decoder alone"]}
    for turn in range(rounds + 1):
        for name, batches in ways.items():
            measured = rates_of(
                batches, (lambda batch: batch[0]) if "torchvision" in name else (lambda batch: batch.images)
            )
            if turn:  # the first pass starts threads and workers, and fills the caches
                rates[name].append(measured)
        measured = rates_of(alone(), lambda batch: batch)
        if turn:
            rates["the decoder alone"].append(measured)
    best = [max(others)[0] for others in zip(*(rates[name] for name in ways if "torchvision" in name), strict=True)]
    for name, values in rates.items():
        ratios = [a / b for (a, _), b in zip(values, best, strict=True)]
        print(
            f"{name}: {statistics.median(value for value, _ in values):,.0f} images/s, "
            f"{statistics.median(ratios):.2f} times torchvision's best ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    for kind, measure in enumerate(("by the clock", "in processor time")):
        pairs = zip(rates["as read, fast"], rates["the decoder alone"], strict=True)
        shares = [a[kind] / b[kind] for a, b in pairs]
        print(
            f"as read, fast: {statistics.median(shares):.2f} of the decoder alone {measure} "
            f"({min(shares):.2f} to {max(shares):.2f})"
        )
    for part in (0.5, 1.0, 2.0):
        print("as read, fast, with a step of {:.1f} batches: {:.2f} times the slower of both ({:.2f} to {:.2f})".format(
            part, *with_a_step(ways["as read, fast"], fast.pixels._pool, part, rounds)
        ))  # fmt: skip
    print(f"torch computes with {torch.get_num_threads()} threads")


def with_a_step(batches, pool: Watched, part: float, rounds: int) -> tuple[float, float, float]:
    """Returns the median, least and most of the ratios of passes with a step to the slower of step and loader."""
    ratios = []
    for _ in range(rounds):
        start = time.perf_counter()
        count = sum(1 for _ in batches)
        step = part * (time.perf_counter() - start) / count
        pool.worked, stepping, start = 0.0, 0.0, time.perf_counter()
        for _ in batches:
            began = time.perf_counter()
            time.sleep(step)
            stepping += time.perf_counter() - began
        ratios.append((time.perf_counter() - start) / max(pool.worked / THREADS, stepping))
    return statistics.median(ratios), min(ratios), max(ratios)


if __name__ == "__main__":
    main()
