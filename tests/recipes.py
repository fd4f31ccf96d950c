"""Every recipe of `configs/experiments`, made small enough to be tried."""

import yaml

from conftest import CONFIGS, SHORT
from shared_fixtures import BACKBONE_FILES
from small_models import write_classifier

BASES = {
    "VQVAE": "vqvae.yaml",
    "GAN": "gan.yaml",
    "CodePrior": "prior.yaml",
    "Pix2Pix": "translation.yaml",
    "CycleGAN": "translation.yaml",
    "CUT": "translation.yaml",
    "MUNIT": "translation.yaml",
}
# This one needs a VQ-VAE that restores: tests/models/test_restoration_prior.py.
ELSEWHERE = {CONFIGS / "experiments" / "translation" / "restoration_prior_digits.yaml"}
RECIPES = sorted(set((CONFIGS / "experiments").rglob("*.yaml")) - ELSEWHERE)
LARGE = 64  # pixels
FEW = [*SHORT, "--trainer.max_steps=2", "--evaluation.samples=20", "--evaluation.batch_size=10"]


def described(path):
    """Returns what a recipe says."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def small(path, few, checkpoints, backbone_weights):
    """Returns the options of `fit` for a recipe with fewer channels, and fewer or smaller pictures where it has many.

    Args:
        path: the recipe.
        few: further options, which those of the size go over.
        checkpoints: small models; a prior is laid over the codes of their VQ-VAE.
        backbone_weights: a folder with random weights for LPIPS.
    """
    held = described(path)
    parts, data = held["model"]["init_args"], held.get("data", {}).get("init_args", {})
    size = data.get("size", 0)
    options = ["--config", CONFIGS / BASES[held["model"]["class_path"]], "--config", path, *few]
    # R3GAN's channels are halved beyond 32 pixels and must be a multiple of 8 at the last.
    width = 16 * max(size // LARGE, 1) if "discriminator" in parts else 16
    for part in ("generator", "autoencoder", "discriminator", "encoder", "decoder", "prior"):
        if "width" in parts.get(part, {}).get("init_args", {}):
            options.append(f"--model.{part}.width={width}")
    if "prior" in parts:
        options += ["--model.prior.depth=2", "--model.prior.heads=2", f"--model.vqvae={checkpoints['vqvae']}"]
        options.append("--data.size=32")
    if parts.get("reconstruction", {}).get("class_path") == "Perceptual":
        options += ["--model.reconstruction.net=alex", f"--data.size={LARGE}"]
        options.append(f"--model.reconstruction.weights={backbone_weights / BACKBONE_FILES['alex']}")
    if parts.get("reconstruction", {}).get("class_path") == "TrainedPerceptual":
        classifier = backbone_weights / "classifier.ckpt"
        write_classifier(classifier, channels=1, size=32)
        options.append(f"--model.reconstruction.weights={classifier}")
    if "scales" in parts:  # a discriminator of three layers takes no 16 pixels
        options.append("--model.scales=1")
    if "adversary" in parts:
        options.append("--model.adversary.start=0")
    if data.get("crop") == "random":  # of picture files, and these are digits
        options += ["--data.crop=centre", "--data.crop_scale=[1, 1]"]
    if size > LARGE:
        options.append("--data.batch_size=4")
    if data.get("val_size", 0) > 1000:  # the digits are too few to hold out as many
        options.append("--data.val_size=100")
    return options
