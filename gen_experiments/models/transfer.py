"""Training that starts from the weights of another model, as far as they fit."""

from pathlib import Path

import torch

from gen_experiments.checkpoint_paths import named_checkpoint
from gen_experiments.errors import UserError, quoted
from gen_experiments.models.base import ImageModel
from gen_experiments.models.checkpoints import read_checkpoint

EXTRA = "_extra_state"  # torch's name
MOST_NAMED = 8


@torch.no_grad()
def load_what_fits(model: ImageModel, path: str | Path) -> list[str]:
    """Loads the weights of a checkpoint that have the names and shapes of a model's weights.

    Everything else, such as images seen and the state of optimizers, starts anew. The extra state of a module is loaded
    only if all its tensors fit.

    Args:
        model: gets the weights.
        path: a checkpoint of any model of this project, or its run.

    Returns:
        Lines that say how many weights were loaded, and which were not.

    Raises:
        UserError: the file is no such checkpoint, or no weight in it fits.
    """
    path = named_checkpoint(path)
    held, own = read_checkpoint(path)["state_dict"], model.state_dict()
    fitting = {name: held[name] for name in own if name in held and held[name].shape == own[name].shape}
    left = [name for name in own if name not in fitting]
    spoilt = {name.rpartition(".")[0] for name in left}
    for name in [*fitting]:
        if name.endswith(EXTRA) and any(part.startswith(name.removesuffix(f".{EXTRA}")) for part in spoilt):
            del fitting[name]
    weights = [name for name in own if not name.endswith(EXTRA)]
    loaded = [name for name in weights if name in fitting]
    if not loaded:
        raise UserError(f"no weight of {path} fits this model by name and shape: name a checkpoint of a similar one")
    model.load_state_dict(fitting, strict=False)
    lines = [f"begins with {len(loaded)} of {len(weights)} weights, from {path}"]
    missing = [
        f"{name} ({_shape(own[name])} here, {_shape(held[name]) if name in held else 'not there'})"
        for name in weights
        if name not in fitting
    ]
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        lines.append(f"not loaded: {', '.join(map(quoted, missing[:MOST_NAMED]))}{more}")
    return lines


def _shape(weight: torch.Tensor) -> str:
    return "x".join(map(str, weight.shape)) or "a number"
