"""Experiments with image generators: GANs and VQ-VAEs from one YAML."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gen_experiments.models.base import ImageModel

__version__ = "0.1.0"
BEGAN = time.monotonic()  # when the program began: this module is imported first


def load(path: str | Path, trust: str | Sequence[str] = ()) -> "ImageModel":
    """Returns a trained model, in evaluation mode on the CPU.

    Nothing in the file is run. Only classes of this package, of torch, and of the packages in `trust` and in
    `$GEN_EXPERIMENTS_TRUST` are imported.

    Args:
        path: a checkpoint; the folder of a run, whose best checkpoint is taken, or else its last; or the folder of an
            export.
        trust: your own package, or packages, of which the file may name classes. To import them runs their code.

    Raises:
        UserError: there is no such file, it holds no model of this project, it names classes of a package that is not
            trusted, or `trust` names no package.
    """
    # Imported here, so that `import gen_experiments` does not wait for Lightning.
    from gen_experiments.models.base import ImageModel
    from gen_experiments.models.checkpoints import load_model
    from gen_experiments.models.described import trusting

    with trusting([trust] if isinstance(trust, str) else trust):
        return load_model(path, ImageModel, "be loaded")
