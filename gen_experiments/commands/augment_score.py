"""`augment-score`: measures whether generated images help to train a classifier."""

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy

from gen_experiments.callbacks.protocols import Samples
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.training_data import split_data
from gen_experiments.data.cache import ImageArray
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import to_uint8
from gen_experiments.metrics.digits_net import DigitsNet
from gen_experiments.metrics.uncertainty import wilson_interval
from gen_experiments.progress import progress

BATCH, PEAK_RATE, MAX_PER_CLASS = 128, 2e-3, 100_000


def augment_score(
    checkpoint: str,
    per_class: int = 500,
    steps: int = 600,
    seed: int = 0,
    config: str | None = None,
    device: str = "auto",
) -> None:
    """Trains a small classifier on real images, on generated ones and on both, and prints its accuracy on test images.

    The accuracy after training on generated images is the classification accuracy score
    (https://arxiv.org/abs/1905.10887). The three classifiers have the same initial weights and number of steps, and see
    grey images of 32x32 pixels.

    Args:
        checkpoint: a checkpoint of a model that generates images of given labels, in the folder of its run.
        per_class: the number of generated images of each class, in [1, 100000]; all are held in memory.
        steps: training steps of a classifier, of 128 images; >= 10.
        seed: the seed of the generated images and of the classifiers.
        config: the run's config.yaml, if it is not in the run's folder.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the data cannot be used, or a number is out of range.
    """
    check_interval(f"[1, {MAX_PER_CLASS}]", per_class=per_class)
    check_interval("[10, inf)", steps=steps)
    check_interval("[0, inf)", seed=seed)
    model = load_on_device(checkpoint, Samples, "sample", device)
    data = split_data(checkpoint, config)
    if model.num_classes is None or data.source.num_classes != model.num_classes:
        raise UserError("augment-score needs a model of classes and data of the same: train with conditional networks")
    if model.image.channels not in (1, 3):
        raise UserError(
            f"augment-score classifies grey or RGB images, and these have {model.image.channels} channels: train "
            "with --data.source.channels=3"
        )
    if data.split("test").all_labels is None:
        raise UserError("augment-score needs test images with labels: lay them in folders of the classes")
    real, test = _all(data.split("train")), _all(data.split("test"))
    labels = torch.arange(model.num_classes).repeat_interleave(per_class)
    with torch.inference_mode():
        samples = [
            to_uint8(model.sample(part.start, len(part), seed, labels[part.start : part.stop])).cpu()
            for part in progress(len(labels), "images", BATCH)
        ]
    synthetic = DigitsNet.prepare(torch.cat(samples)), labels
    both = torch.cat([real[0], synthetic[0]]), torch.cat([real[1], synthetic[1]])
    table = Table("trained on", "images", "test accuracy", "95% confidence")
    for name, (images, targets) in {"real": real, "generated": synthetic, "both": both}.items():
        right = _right(images, targets, test, model.num_classes, steps, seed, model.device)
        low, high = wilson_interval(right, len(test[1]))
        table.add_row(name, str(len(targets)), f"{right / len(test[1]):.2%}", f"{low:.2%} to {high:.2%}")
    Console(soft_wrap=True).print(table)


def _all(images: ImageArray) -> tuple[Tensor, Tensor]:
    """Returns prepared images (N, 1, 32, 32) and labels (N,)."""
    indices = np.arange(len(images))
    labels = images.labels(indices)
    assert labels is not None
    return DigitsNet.prepare(images.read(indices)), labels


def _right(
    images: Tensor,
    labels: Tensor,
    test: tuple[Tensor, Tensor],
    classes: int,
    steps: int,
    seed: int,
    device: torch.device,
) -> int:
    """Returns how many test images a classifier that was trained on these images classifies correctly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DigitsNet(classes).to(device)
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    for _ in progress(steps, "steps"):
        chosen = torch.randint(len(labels), (BATCH,), generator=rng)
        optimizer.zero_grad()
        cross_entropy(network(images[chosen].to(device)), labels[chosen].to(device)).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.inference_mode():
        guesses = torch.cat([network(part.to(device)).argmax(dim=1).cpu() for part in test[0].split(500)])
    return int((guesses == test[1]).sum())
