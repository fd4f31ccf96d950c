"""Pictures that a program hands over, as the images of a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
import torch
from torch import Tensor

from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.picture_decoding import Numbers, decode_one, of_picture
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec, to_float

if TYPE_CHECKING:
    from PIL.Image import Image


def images_of(pictures: Sequence[Union[str, Path, "Image"]], image: ImageSpec, framing: Framing = USUAL) -> Tensor:
    """Returns pictures of any size and mode as the images of a model, brought to its size as data are in training.

    Args:
        pictures: files, or pictures of Pillow, which stay as they are.
        image: what the images are to be like, such as `model.image`.
        framing: how pictures of other proportions are brought to the size; by default their central part is kept.

    Returns:
        (N, C, H, W) float32 in [-1, 1].

    Raises:
        UserError: there are none, one is neither a file nor a picture, or one is missing or cannot be decoded.
    """
    from PIL import Image

    if isinstance(pictures, (str, Path, Image.Image)) or not len(pictures):
        raise UserError("images_of takes a list of one or more files or pictures of Pillow")
    return to_float(torch.from_numpy(np.stack([_decode(picture, image, framing) for picture in pictures])))


def _decode(picture: object, image: ImageSpec, framing: Framing) -> Numbers:
    from PIL import Image

    if isinstance(picture, Image.Image):
        file = Path(getattr(picture, "filename", ""))
        # The file of a picture that Pillow has not read yet also says which number is white.
        if not (getattr(picture, "tile", None) and file.is_file()):
            return of_picture(picture.copy(), b"", image.size, image.channels, framing, None)
        picture = file
    if not isinstance(picture, (str, Path)):
        raise UserError(f"images_of takes files or pictures of Pillow, not a {type(picture).__name__}")
    if not Path(picture).is_file():
        raise UserError(f"there is no file {picture}")
    return decode_one(Path(picture), image.size, image.channels, framing)
