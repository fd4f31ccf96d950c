"""What translations of pairs must beat: the source unchanged, matched colours, the nearest training picture's partner.

Beside these stand training pictures drawn at random, whose FID is that of real pictures which translate nothing.

    python tests/benchmarks/score_translations.py RUN/config.yaml [--split test] [--extractor CLASSIFIER.ckpt] \
        [--checkpoint RUN/checkpoints/best.ckpt] [--grid FILE.png] [--examples FILE.png]

Prints, for each and for the checkpoint, L1 (pixels on a [0, 1] scale), PSNR and SSIM as means over the split, and with
an extractor the distance in its classifier's features (`feature_distance`) and the FID, both to the split's true
pictures. A model that takes styles is scored in the mean of all, in one drawn for each picture, in those of training
pictures that are drawn, and in that of each true picture: the last two say whether a style carries over. `--examples`
shows sources, each in the styles of the pictures of the first row.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gen_experiments import load
from gen_experiments.callbacks.protocols import TranslatesInStyle
from gen_experiments.commands.training_data import data_of
from gen_experiments.grids import grid, in_rows, save_grid
from gen_experiments.images import save_image, to_float, to_uint8
from gen_experiments.losses.trained_perceptual import feature_distance
from gen_experiments.metrics.frechet import Moments, frechet_distance
from gen_experiments.metrics.reconstruction import l1, psnr, ssim
from gen_experiments.metrics.trained import TrainedFeatures

BATCH = 50


def sides(data, split):
    """Returns the sources and the images of a split, (N, C, S, S) uint8 each."""
    images = data.split(split)
    numbers = np.arange(len(images))
    return to_uint8(data.source_images(split, numbers)), images.read(numbers)


def with_colours_of(sources, targets):
    """Returns sources of which each channel's values are replaced by those of the same rank among all the targets'."""
    matched = torch.empty_like(sources)
    for channel in range(sources.shape[1]):
        ranks, values = (
            np.bincount(part[:, channel].numpy().ravel(), minlength=256).cumsum() for part in (sources, targets)
        )
        table = np.searchsorted(values / values[-1], ranks / ranks[-1]).clip(0, 255).astype(np.uint8)
        matched[:, channel] = torch.from_numpy(table)[sources[:, channel].long()]
    return matched


def partner_of_nearest(sources, known, partners):
    """Returns the partner of the training source that differs least, number by number of (N, ...) rows."""
    known = known.flatten(1).float()
    nearest = [torch.cdist(part.flatten(1).float(), known).argmin(1) for part in sources.split(BATCH)]
    return partners[torch.cat(nearest)]


def in_parts(function, *images):
    """Returns the values that a function has on so many images at a time."""
    return torch.cat([function(*parts) for parts in zip(*(each.split(BATCH) for each in images), strict=True)])


def apart_by(classifier, images, others):
    """Returns how far apart (N, C, H, W) uint8 images are in a `ClassifierNet`'s features: (N,)."""
    return feature_distance(*(classifier.activations(classifier.prepare(each)) for each in (images, others)))


def styles_of(model, images):
    """Returns the styles of uint8 images."""
    return torch.cat([model.styles_of(to_float(part)) for part in images.split(BATCH)])


def made_by(model, sources, known, truth):
    """Returns what a model makes of the sources, by the styles that it takes."""
    styles = {"": None}
    if isinstance(model, TranslatesInStyle):
        drawn = model.drawn_styles(torch.arange(len(sources)))
        others = known[np.random.default_rng(0).permutation(len(known))[: len(sources)]]
        styles = {
            ", mean of all styles": torch.zeros_like(drawn),
            ", drawn styles": drawn,
            ", styles of others": styles_of(model, others),
            ", styles of the truth": styles_of(model, truth),
        }
    made, parts = {}, sources.split(BATCH)
    for name, each in styles.items():
        options = [{}] * len(parts) if each is None else [{"styles": part} for part in each.split(BATCH)]
        translations = [model.translate(to_float(part), **given) for part, given in zip(parts, options, strict=True)]
        made[f"{type(model).__name__}, {model.images_seen:,} images{name}"] = to_uint8(torch.cat(translations))
    return made


def in_styles(model, sources, examples):
    """Returns a picture: examples in the first row, then sources, each in the styles of all examples."""
    styles, blank = styles_of(model, examples), torch.full_like(sources[:1], 255)
    rows = [blank, examples]
    for source in sources.split(1):
        made = model.translate(to_float(source).expand(len(examples), -1, -1, -1), None, styles)
        rows += [source, to_uint8(made)]
    return grid(torch.cat(rows), len(examples) + 1)


@torch.inference_mode()
def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--checkpoint")
    parser.add_argument("--extractor")
    parser.add_argument("--grid")
    parser.add_argument("--examples")
    chosen = parser.parse_args()
    data = data_of(chosen.config)
    sources, truth = sides(data, chosen.split)
    known, partners = sides(data, "train")
    rows = {
        "source unchanged": sources,
        "training pictures at random": partners[np.random.default_rng(1).permutation(len(partners))[: len(sources)]],
        # The table is that of the training pictures, so that no truth is used.
        "colours matched": with_colours_of(sources, partners),
        "nearest's partner": partner_of_nearest(sources, known, partners),
    }
    network = None if chosen.extractor is None else TrainedFeatures(chosen.extractor)
    if network is not None:
        rows["nearest's partner by features"] = partner_of_nearest(
            in_parts(network, sources), in_parts(network, known), partners
        )
    baselines = len(rows)
    if chosen.checkpoint is not None:
        model = load(chosen.checkpoint)
        rows |= made_by(model, sources, partners, truth)
        if chosen.examples is not None:
            apart = torch.arange(0, len(sources), len(sources) // 6)[:6]
            save_image(in_styles(model, sources[apart], partners[:: len(partners) // 8][:8]), Path(chosen.examples))
    print(f"{len(truth)} pictures of the split {chosen.split}")
    for name, images in rows.items():
        scores = [float(score(images, truth).mean()) for score in (l1, psnr, ssim)]
        print(f"{name:44} L1 {scores[0]:.4f}  PSNR {scores[1]:.2f} dB  SSIM {scores[2]:.4f}", end="")
        if network is not None:
            apart = in_parts(partial(apart_by, network.network), images, truth).mean()
            moments = (Moments.of_features(in_parts(network, each)) for each in (truth, images))
            fid = frechet_distance(*moments)
            print(f"  features {float(apart):.4f}  FID {float(fid):.3f}", end="")
        print()
    if chosen.grid is not None:
        shown = torch.arange(0, len(truth), max(1, len(truth) // 40))[:40]
        parts = [part[shown] for part in (sources, *list(rows.values())[baselines:], truth)]
        save_grid(in_rows(*parts, columns=10), chosen.grid, 10)


if __name__ == "__main__":
    main()
