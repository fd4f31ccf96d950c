"""`reconstruct`: given pictures beside what a checkpoint makes of them."""

import torch

from gen_experiments.callbacks.protocols import Reconstructs
from gen_experiments.data.sources import ImageFolder
from gen_experiments.errors import UserError
from gen_experiments.images import grid, save_image, to_float, to_uint8
from gen_experiments.models.checkpoints import load_model

COLUMNS = 8
