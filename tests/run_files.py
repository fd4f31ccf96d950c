"""What a run has written, and whether two of them have written the same."""

import torch

import independent


def last(folder, name, version=0):
    """The path of the last checkpoint of a run that was started in `folder`."""
    return folder / "runs" / name / f"version_{version}" / "checkpoints" / "last.ckpt"


def checkpoint(path):
    """What a checkpoint holds."""
    return torch.load(path, weights_only=True)


def equal(a, b):
    """Whether two nested values are the same, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def curve(folder):
    """The rows of training in metrics.csv, without their times and what validations add."""
    rows = independent.curves(folder / "metrics.csv")
    names = [name for name in rows[0] if not name.startswith("val/")]
    return [{name: row[name] for name in names} for row in rows if any(row[n] for n in names if n.startswith("train/"))]
