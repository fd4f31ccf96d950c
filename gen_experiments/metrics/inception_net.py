"""The Inception v3 of the original FID, from torch-fidelity, and its weights."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gen_experiments.errors import UserError, quoted
from gen_experiments.untrusted.weight_files import torch_file


def read_inception(path: Path) -> nn.Module:
    """Returns torch-fidelity's network with the weights of a file; no code that the file may contain is run.

    Batch norm is folded into the convolutions before it: a seventh less time on CPUs, and features that differ by
    rounding only.

    Raises:
        UserError: the file is missing or is no such network.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

    if not path.is_file():
        folder = ", which is a folder" if path.is_dir() else ""
        raise UserError(
            f"there are no Inception weights at {path}{folder}: name the file by --evaluation.extractor.weights"
        )
    try:
        with torch_file(path) as plain:
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(plain)
            )
    except Exception as error:
        raise UserError(f"{path} does not hold torch-fidelity's Inception weights: {quoted(error)}") from error
    for block in network.modules():
        if isinstance(block, BasicConv2d):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    return network


def fetch_inception() -> Path:
    """Returns the file of the weights, which is fetched if it is missing.

    Raises:
        UserError: it cannot be fetched.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), progress=False)
        except OSError as error:
            raise UserError(
                f"Inception's weights cannot be fetched from {URL_INCEPTION_V3}: "
                "bring that file and name it by --evaluation.extractor.weights=FILE, or train without FID by "
                "--evaluation.extractor=null"
            ) from error
    return path
