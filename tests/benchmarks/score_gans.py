"""The table of GANs on MNIST by two extractors, beside a plain DCGAN loop.

    python tests/benchmarks/score_gans.py --root DIR [--plain-seeds N ...] [--checkpoints FILE ...]

DIR holds MNIST/raw. Each row is the Fréchet distance of 10,000 samples to the 60,000 training images at 32x32, by
`DigitsFeatures` and by a second classifier, which no recipe was tuned with: other architecture, other optimizer, other
seed, trained by this script on the training images and kept in the cache. The real test images and, with --plain-seeds,
a plain loop (DCGAN, width 32, batches of 128, Adam 2e-4, β1 .5, no averages) of 300,032 images are scored alike.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gen_experiments.checkpoints.loading import load_model
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import MNIST
from gen_experiments.images import to_float, to_uint8
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.metrics.frechet import Moments, frechet_distance
from gen_experiments.models.sampling import GenerativeModel
from gen_experiments.storage import cache_root

SAMPLES, BATCH, IMAGES = 10_000, 128, 300_032
SEED, EPOCHS = 1234, 3


class SecondClassifier(nn.Module):
    """A residual classifier whose 96 pooled features are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 5, stride=2, padding=2)
        self.widen = nn.Conv2d(32, 96, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(8, 96), nn.GELU(), nn.Conv2d(96, 96, 3, padding=1)) for _ in range(2)
        )
        self.head = nn.Linear(96, 10)

    def features(self, images):
        """Maps (N, 1, H, W) uint8 -> (N, 96) float32."""
        hidden = self.widen(F.gelu(self.stem(images.float() / 255)))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return F.gelu(hidden).mean(dim=(2, 3))

    def forward(self, images):
        return self.head(self.features(images))


def second_classifier(images, labels, test_images, test_labels):
    path = cache_root() / "second_classifier.pt"
    torch.manual_seed(SEED)
    network = SecondClassifier()
    if path.is_file():
        network.load_state_dict(torch.load(path, weights_only=True))
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * (len(images) // BATCH))
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
                loss = F.cross_entropy(network(images[chosen]), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
    network.eval().requires_grad_(False)
    correct = torch.cat([network(part).argmax(1) for part in test_images.split(1000)]) == test_labels
    print(f"second classifier: {correct.double().mean():.4f} of the test images right", flush=True)
    return network.features


def moments(features, images):
    with torch.no_grad():
        return Moments.of_features(torch.cat([features(part) for part in images.split(500)]))


def samples_of(checkpoint):
    model = load_model(str(checkpoint), GenerativeModel, "generate").eval()
    with torch.no_grad():
        return torch.cat([to_uint8(model.sample(first, 250)) for first in range(0, SAMPLES, 250)])


def plain_loop(images, seed):
    """A DCGAN as a tutorial has it, written without this package."""
    torch.manual_seed(seed)
    width, latent = 32, 64

    def up(before, after):
        return [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    def down(before, after):
        return [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]

    generator = nn.Sequential(
        nn.ConvTranspose2d(latent, 4 * width, 4, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        *up(4 * width, 2 * width),
        *up(2 * width, width),
        nn.ConvTranspose2d(width, 1, 4, 2, 1),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        *down(width, 2 * width),
        *down(2 * width, 4 * width),
        nn.Conv2d(4 * width, 1, 4),
        nn.Flatten(0),
    )
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    seen = 0
    while seen < IMAGES:
        for chosen in torch.randperm(len(images)).split(BATCH):
            if len(chosen) < BATCH or seen >= IMAGES:
                break
            seen += BATCH
            real = to_float(images[chosen])
            fake = generator(torch.randn(BATCH, latent, 1, 1))
            loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
            optimizer_d.zero_grad()
            loss.backward()
            optimizer_d.step()
            loss = F.softplus(-discriminator(fake)).mean()
            optimizer_g.zero_grad()
            loss.backward()
            optimizer_g.step()
    with torch.no_grad():
        generator.eval()
        return torch.cat([to_uint8(generator(torch.randn(250, latent, 1, 1))) for _ in range(SAMPLES // 250)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--plain-seeds", type=int, nargs="*", default=[], help="plain loops to train and score")
    parser.add_argument("--checkpoints", type=Path, nargs="*", default=[], help="GANs to score")
    options = parser.parse_args()
    data = ImageDataModule(MNIST(options.root), val_size=0)
    (images, labels), (test_images, test_labels) = [
        (split.read(numbers), split.labels(numbers))
        for split, numbers in ((data.split(name), np.arange(len(data.split(name)))) for name in ("train", "test"))
    ]
    extractors = (DigitsFeatures(), second_classifier(images, labels, test_images, test_labels))
    references = [moments(features, images) for features in extractors]

    def report(name, generated):
        figures = [
            frechet_distance(reference, moments(features, generated)).item()
            for features, reference in zip(extractors, references, strict=True)
        ]
        print(f"{name}: DigitsFeatures {figures[0]:.4f}, second {figures[1]:.4f}", flush=True)

    report("test images", test_images)
    for seed in options.plain_seeds:
        report(f"plain loop, seed {seed}", plain_loop(images, seed))
    for checkpoint in options.checkpoints:
        report(str(checkpoint), samples_of(checkpoint))


if __name__ == "__main__":
    main()
