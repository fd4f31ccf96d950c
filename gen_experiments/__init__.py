"""Experiments with image generators: GANs and VQ-VAEs from one YAML."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gen_experiments.models.base import ImageModel

__version__ = "0.1.0"
BEGAN = time.monotonic()  # when the program began: nothing of it is imported before


def load(path: str | Path) -> "ImageModel":
    """Returns a trained model, in evaluation mode on the CPU.

    Nothing in the file is run, and no class is imported that is not this package's, torch's or of a package in
    `$GEN_EXPERIMENTS_TRUST`.

    Args:
        path: a checkpoint, the folder of a run, of which the best checkpoint is taken, else the last, or the folder of
            an export.

    Raises:
        UserError: there is no such file, or it holds no model of this project.
    """
    # Imported here: the command line must not wait for Lightning before it knows what is wanted.
    from gen_experiments.models.base import ImageModel
    from gen_experiments.models.checkpoints import load_model

    return load_model(path, ImageModel, "be loaded")
