"""How far restorations are above total-variation and non-local-means denoising of the same damaged pictures.

    python tests/benchmarks/score_restoration.py RUN/checkpoints/last.ckpt [--data CONFIG.yaml] [--split test] \
        [--count 500] [--damage '[{class_path: GaussianNoise, init_args: {deviation: [0.3, 0.3]}}]'] [--grid FILE.png]

Prints, for each kind of damage, the mean PSNR in dB of so many pictures of the split, evenly spaced: damaged, restored,
and by scikit-image's two methods, each with the one of six strengths that is best on these very pictures.
"""

import argparse
from copy import copy

import numpy as np
import torch
from jsonargparse import ArgumentParser
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from gen_experiments import load
from gen_experiments.callbacks.protocols import image_mapping
from gen_experiments.checkpoints.arguments import arguments_of, class_path
from gen_experiments.commands.training_data import training_data
from gen_experiments.data import damage_parts, jpeg  # noqa: F401 - the kinds by their short names
from gen_experiments.data.damage import Damage
from gen_experiments.grids import in_rows, save_grid
from gen_experiments.images import evenly_spaced, to_uint8
from gen_experiments.metrics.reconstruction import psnr
from gen_experiments.reports.evaluations import damage_text

BATCH, SHOWN = 50, 12
TV_WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
NLM_STRENGTHS = (0.05, 0.1, 0.2, 0.35, 0.6, 0.9)


def of_each(images, method):
    """Returns (N, C, H, W) uint8 images after a method of arrays (H, W, C) in [0, 1]."""
    arrays = images.permute(0, 2, 3, 1).numpy() / 255
    # Non-local means drop a single channel.
    made = np.stack([method(array) for array in arrays]).reshape(arrays.shape).clip(0, 1)
    return torch.from_numpy(np.rint(made * 255).astype(np.uint8)).permute(0, 3, 1, 2)


def best(sources, truth, method, strengths):
    """Returns the highest mean PSNR over the strengths, and its strength."""
    return max(
        (float(psnr(of_each(sources, lambda x, s=strength: method(x, s)), truth).mean()), strength)
        for strength in strengths
    )


def total_variation(array, weight):
    """Chambolle's."""
    return denoise_tv_chambolle(array, weight=weight, channel_axis=-1)


def non_local_means(array, strength):
    """Patches of 5, distance 6."""
    return denoise_nl_means(array, 5, 6, h=strength, channel_axis=-1)


@torch.inference_mode()
def main():
    """Prints the table."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=str)
    parser.add_argument("--data", type=str | None, default=None)
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--damage", type=list[Damage] | None, default=None)
    parser.add_argument("--grid", type=str | None, default=None)
    chosen = parser.instantiate(parser.parse_args())
    data, restore = training_data(chosen.checkpoint, chosen.data), image_mapping(load(chosen.checkpoint))
    numbers = evenly_spaced(len(data.split(chosen.split)), chosen.count)
    truth = data.split(chosen.split).read(numbers)
    kinds = chosen.damage or [kind for part in data.damage for kind in part.fixed()]
    print(f"{len(truth)} pictures of the split {chosen.split}, mean PSNR in dB")
    print("| damage | damaged | restored | total variation | non-local means |\n|---|---|---|---|---|")
    rows = []
    for kind in kinds:
        data = copy(data)
        data.damage = [kind]
        parts = np.split(numbers, range(BATCH, len(numbers), BATCH))
        damaged = [data.source_images(chosen.split, part) for part in parts]
        pairs = zip(damaged, map(torch.from_numpy, parts), strict=True)
        sources, restored = to_uint8(torch.cat(damaged)), torch.cat([to_uint8(restore(*pair)) for pair in pairs])
        tv, nlm = (
            best(sources, truth, method, strengths)
            for method, strengths in ((total_variation, TV_WEIGHTS), (non_local_means, NLM_STRENGTHS))
        )
        before, after = (float(psnr(images, truth).mean()) for images in (sources, restored))
        name = damage_text({"class_path": class_path(type(kind)), "init_args": arguments_of(kind)})
        cells = [f"{before:.2f}", f"{after:.2f}", *(f"{value:.2f} (at {strength:g})" for value, strength in (tv, nlm))]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        shown = evenly_spaced(len(truth), SHOWN)
        rows += [sources[shown], restored[shown]]
    if chosen.grid is not None:
        shown = evenly_spaced(len(truth), SHOWN)
        save_grid(in_rows(*rows, truth[shown], columns=SHOWN), chosen.grid, SHOWN)


if __name__ == "__main__":
    main()
