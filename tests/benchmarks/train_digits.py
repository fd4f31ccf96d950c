"""The recipe of the digits classifier behind `DigitsFeatures`.

    python tests/benchmarks/train_digits.py --root DIR [--epochs 6] [--out FILE]

trains on MNIST's 60,000 training images (torchvision's layout in DIR), prints the accuracy on its 10,000 test images
and writes the weights. The training images are shifted, scaled, turned a little and blurred at random: so the features
also mean something for digits of other pens, such as scikit-learn's, which are 8x8 pixels blown up.
"""

import argparse
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gen_experiments.metrics.digits_net import DigitsNet
from gen_experiments.metrics.features import DIGITS_WEIGHTS

BATCH = 128
PEAK_RATE = 4e-3
TURN, SCALE, SHIFT = 0.15, 0.12, 0.12  # radians; relative; in half sides of the image


def train(root: str, epochs: int, seed: int = 0) -> tuple[DigitsNet, float]:
    """Trains the classifier and returns it with its accuracy on the test split."""
    from torchvision.datasets import MNIST

    torch.manual_seed(seed)
    splits = [MNIST(root, train=part, download=not Path(root, "MNIST", "raw").is_dir()) for part in (True, False)]
    (images, labels), (test_images, test_labels) = [(DigitsNet.prepare(s.data[:, None]), s.targets) for s in splits]
    network = DigitsNet()
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        network.train()
        for chosen in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            loss = F.cross_entropy(network(distorted(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        correct = accuracy(network, test_images, test_labels)
        print(f"epoch {epoch + 1}: test accuracy {correct:.4f}", flush=True)
    return network, correct


def distorted(images: Tensor) -> Tensor:
    """Turns, scales, shifts and, half of them, coarsens (N, 1, 32, 32) images at random."""
    count = len(images)
    angle, scale = TURN * torch.randn(count), 1 + SCALE * torch.randn(count)
    rows = torch.stack([angle.cos() * scale, -angle.sin() * scale, SHIFT * torch.randn(count)], 1)
    columns = torch.stack([angle.sin() * scale, angle.cos() * scale, SHIFT * torch.randn(count)], 1)
    grid = F.affine_grid(torch.stack([rows, columns], 1), list(images.shape), align_corners=False)
    # The ground is -1 and lies at 0 for the sampling, which fills what comes from outside with zeros.
    moved = F.grid_sample(images + 1, grid, align_corners=False) - 1
    coarse = F.interpolate(moved, (8, 8), mode="bilinear", antialias=True, align_corners=False)
    blurred = F.interpolate(coarse, images.shape[-2:], mode="bicubic", align_corners=False)
    return torch.where(torch.rand(count, 1, 1, 1) < 0.5, moved, blurred)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Returns the share of images whose largest logit is their label's."""
    network.eval()
    found = torch.cat([network(part).argmax(1) for part in images.split(1000)])
    return (found == labels).double().mean().item()


def main() -> None:
    """Trains, and writes the weights with what made them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder that holds, or is to hold, MNIST/raw")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DIGITS_WEIGHTS)
    options = parser.parse_args()
    network, correct = train(options.root, options.epochs, options.seed)
    metadata = {
        "recipe": f"train_digits.py --epochs {options.epochs} --seed {options.seed}",
        "data": "MNIST, 60,000 training images",
        "test_accuracy": f"{math.floor(correct * 1e4) / 1e4:.4f}",
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, options.out, metadata)
    print(f"wrote {options.out} ({options.out.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
