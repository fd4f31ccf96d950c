"""Times `evaluate` on two folders against torch-fidelity's own command, and FID's formula against torchmetrics'.

    python tests/benchmarks/bench_evaluate.py --count 2000 --rounds 3

Both commands run one after the other, in processes of their own with all cores, on the same pictures and the same
randomly initialised weights in torch-fidelity's format; what they print must agree. The formula is computed from equal
moments of 2,048 features in this process.
"""

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.linalg import eigvalsh
from torchmetrics.image.fid import _compute_fid

from gen_experiments.metrics.frechet import Moments, frechet_distance

FEATURES = 2048


def write_folder(folder: Path, count: int, seed: int, brightest: int) -> None:
    """Writes pictures of 64x64 pixels, coarse patterns of random colours."""
    folder.mkdir()
    source = np.random.default_rng(seed)
    for number in range(count):
        coarse = source.integers(0, brightest, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.png")


def write_weights(path: Path) -> None:
    """Writes torch-fidelity's Inception with He's initialisation."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    original = FeatureExtractorInceptionV3.load_state_dict
    FeatureExtractorInceptionV3.load_state_dict = lambda self, state: None  # the file is about to be made
    torch.save({}, path)
    state = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=str(path)).state_dict()
    FeatureExtractorInceptionV3.load_state_dict = original
    source = torch.Generator().manual_seed(0)
    for weight in state.values():
        if weight.ndim == 4:
            weight.normal_(0, math.sqrt(2 / weight[0].numel()), generator=source)
    torch.save(state, path)


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    """Returns the seconds of a process and what it printed."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


def commands(count: int, rounds: int) -> None:
    """Prints the ratio of the two commands, the median over rounds, and both distances."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder / "a", count, 0, 255)
        write_folder(folder / "b", count, 1, 200)
        write_weights(folder / "weights.pth")
        ours = ["gen_experiments", "evaluate", "a", "b", "--metrics=[fid]", "--json=record.json"]
        ours += ["--extractor=InceptionFeatures", "--extractor.weights=weights.pth"]
        theirs = ["torch_fidelity.fidelity", "--cpu", "--fid", "--input1=a", "--input2=b", "--silent"]
        theirs += ["--feature-extractor-weights-path=weights.pth", "--json"]
        ratios = []
        for _ in range(rounds):
            (second, said), (first, _) = timed(theirs, folder), timed(ours, folder)
            ratios.append(second / first)
            found = json.loads((folder / "record.json").read_text())["scores"]["fid"]["value"]
            expected = float(re.search(r"frechet_inception_distance\W+([\d.e+-]+)", said)[1])  # type: ignore[index]
            print(
                f"evaluate {first:.1f} s, torch-fidelity {second:.1f} s; FID {found:.6f} and {expected:.6f}", flush=True
            )
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"two folders of {count}: {statistics.median(ratios):.2f} times faster ({spread})", flush=True)


def formula(rounds: int) -> None:
    """Prints the ratio of FID's formula, with and without the factor of the reference at hand."""
    source = torch.Generator().manual_seed(0)
    mix = torch.randn(FEATURES, FEATURES, generator=source) / FEATURES**0.5
    real, fake = (
        Moments.of_features(torch.randn(5000, FEATURES, generator=source) @ mix * scale) for scale in (1, 1.1)
    )
    seconds: dict[str, list[float]] = {"theirs": [], "first": [], "again": [], "eigvalsh": []}
    symmetric = (real.root @ fake.covariance @ real.root).numpy()

    def clock(name: str, compute: Callable[..., Any], *arguments: Any) -> Any:
        began = time.perf_counter()
        value = compute(*arguments)
        seconds[name].append(time.perf_counter() - began)
        return value

    for _ in range(rounds):
        fresh = Moments(real.mean, real.covariance, real.count)
        first = clock("first", frechet_distance, fresh, fake)
        clock("again", frechet_distance, fresh, fake)
        theirs = clock("theirs", _compute_fid, real.mean, real.covariance, fake.mean, fake.covariance)
        clock("eigvalsh", partial(eigvalsh, lower=True, driver="evd"), symmetric)
        print(f"FID {float(first):.6f} and {float(theirs):.6f}", flush=True)
    for name in ("first", "again"):
        ratios = [them / us for them, us in zip(seconds["theirs"], seconds[name], strict=True)]
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"the formula, {name} time: {statistics.median(ratios):.1f} times faster ({spread})", flush=True)
    medians = {name: f"{statistics.median(each):.2f} s" for name, each in seconds.items()}
    print(f"medians, of LAPACK's eigenvalues of a symmetric matrix alone too: {medians}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="pictures in each folder")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    formula(options.rounds)
    commands(options.count, options.rounds)
