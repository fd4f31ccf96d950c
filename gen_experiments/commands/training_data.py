"""The data that a checkpoint was trained on."""

from pathlib import Path

from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.models.described import build, described_by
from gen_experiments.plain import read_yaml


def training_data(checkpoint: str, config: str | None) -> ImageDataModule:
    """Returns the data module of the run that wrote a checkpoint.

    Args:
        checkpoint: the checkpoint, in RUN/checkpoints.
        config: the run's config.yaml; None looks for it in RUN.

    Raises:
        UserError: there is no such file, it describes no data, or it names classes of a package that is not trusted.
    """
    path = Path(config) if config else Path(checkpoint).resolve().parent.parent / "config.yaml"
    if not path.is_file():
        raise UserError(f"{path} does not say what data was trained on: name the run's config.yaml by --config")
    contents = read_yaml(path)
    if not isinstance(contents, dict) or not isinstance(contents.get("data"), dict):
        raise UserError(f"{path} does not say what data was trained on: name the run's config.yaml by --config")
    with described_by(path):
        data = build(lambda parser: parser.add_subclass_arguments(ImageDataModule, "described"), contents["data"], path)
    assert isinstance(data, ImageDataModule)
    return data
