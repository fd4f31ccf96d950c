"""How a command has a trained prior draw its codes."""

from gen_experiments.callbacks.protocols import OfImages
from gen_experiments.errors import UserError
from gen_experiments.models.code_model import CodeModel
from gen_experiments.priors.decoding import UNCHANGED, DecodingChanges


def decode_by(model: OfImages | None, changes: DecodingChanges) -> None:
    """Changes how the samples of a prior are drawn; without changes anything else stays as it is.

    Raises:
        UserError: the model is no prior, a number is out of range, or the prior cannot be guided.
    """
    if changes == UNCHANGED:
        return
    if not isinstance(model, CodeModel):
        other = "pictures" if model is None else f"a {type(model).__name__}"
        raise UserError(f"--decoding is for priors over codes, not for {other}: leave it out")
    model.decode_by(changes)
