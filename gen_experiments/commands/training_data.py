"""The data that a checkpoint was trained on."""

from pathlib import Path

import yaml

from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.models.checkpoints import check_trust
from gen_experiments.parser import OneLineParser


def training_data(checkpoint: str, config: str | None) -> ImageDataModule:
    """The data module of the run that wrote a checkpoint.

    Args:
        checkpoint: the checkpoint, in RUN/checkpoints.
        config: the run's config.yaml; None looks for it in RUN.

    Raises:
        UserError: there is no such file, it describes no data, or it names classes of a package that is not trusted.
    """
    path = Path(config) if config else Path(checkpoint).resolve().parent.parent / "config.yaml"
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} does not say what data was trained on: name the run's config.yaml by --config"
        ) from error
    check_trust(told, path)
    parser = OneLineParser(prog=str(path))
    parser.add_subclass_arguments(ImageDataModule, "data")
    data = parser.instantiate(parser.parse_object({"data": told})).data
    assert isinstance(data, ImageDataModule)
    return data
