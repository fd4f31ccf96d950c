"""Experiments with image generators: GANs, VQ-VAEs, priors over codes and translation from one YAML.

`__main__` and `cli` read a command. For `fit` and others, `cli.experiment` builds the YAML's classes by LightningCLI:
`data` makes the batches; `models`, the LightningModules, train `networks`, `quantizers` and `priors` by `losses`;
`callbacks` log, score by `evaluation` and `metrics`, and keep the folder of `runs`. `commands` are the functions of all
other commands; `reports` and `search` belong to two of them.

- `images`, `sizes`, `channels`, `grids`: what an image is, and many of them in one picture;
- `distributed`, `cores`, `randomness`, `precision`, `schedules`: what every training stands on;
- `pure_functions`, `contracts`: what models and their parts have in common;
- `checkpoints`: from a file to a model; `untrusted`: files that nobody vouches for; `storage`: files that are written
  whole, beside `temporaries`;
- `errors`, `progress`, `units`: what a user reads: mistakes in one line, how far long work is, the units of scores.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from gen_experiments.images import ImageSpec
    from gen_experiments.models.base import ImageModel

__version__ = "0.1.0"
BEGAN = time.monotonic()  # when the program began: this module is imported first


def load(path: str | Path, trust: str | Sequence[str] = ()) -> "ImageModel":
    """Returns a trained model, in evaluation mode on the CPU.

    Nothing in the file is run. Only classes of this package, of torch, and of the packages in `trust` and in
    `$GEN_EXPERIMENTS_TRUST` are imported. Torch's random state stays as it is.

    Args:
        path: a checkpoint; the folder of a run, whose best checkpoint is taken, or else its last; or the folder of an
            export.
        trust: your own package, or packages, of which the file may name classes. To import them runs their code.

    Raises:
        UserError: there is no such file, it holds no model of this project, it names classes of a package that is not
            trusted, or `trust` names no package.
    """
    # Imported here, so that `import gen_experiments` does not wait for Lightning.
    import torch

    from gen_experiments.checkpoints.descriptions import trusting
    from gen_experiments.checkpoints.loading import load_model
    from gen_experiments.models.base import ImageModel

    # A model is built with initial weights, which are drawn.
    with torch.random.fork_rng(devices=()), trusting([trust] if isinstance(trust, str) else trust):
        return load_model(path, ImageModel, "be loaded")


def images_of(pictures: Sequence[Union[str, Path, "Image"]], image: "ImageSpec") -> "Tensor":
    """Returns files, or pictures of Pillow, of any size and mode as the images of a model.

    The central part of each is kept and brought to the model's size, as by default in training; another `crop` is an
    argument of `data.model_inputs.images_of`.

    Args:
        pictures: the files or pictures.
        image: what the images are to be like, such as `model.image`.

    Returns:
        (N, C, H, W) float32 in [-1, 1].

    Raises:
        UserError: there are none, one is neither a file nor a picture, or one cannot be decoded.
    """
    from gen_experiments.data import model_inputs

    return model_inputs.images_of(pictures, image)
