"""The data that a checkpoint was trained on, and the extractor that scored it."""

from pathlib import Path
from typing import Any

from gen_experiments import data, distributed, metrics
from gen_experiments.callbacks.changes import changed_images
from gen_experiments.checkpoints.descriptions import build, described_by
from gen_experiments.checkpoints.loading import read_checkpoint
from gen_experiments.checkpoints.paths import is_exported
from gen_experiments.cli.class_paths import import_packages
from gen_experiments.cli.parser import in_home
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.untrusted.plain_values import check_plain, read_yaml

# The packages whose classes a configuration may name by their short names.
PACKAGES = (data, metrics)


def training_data(checkpoint: str, config: str | None) -> ImageDataModule:
    """Returns the data module of the run that wrote a checkpoint.

    Args:
        checkpoint: the checkpoint, in RUN/checkpoints.
        config: the run's config.yaml, or the run; None looks for it in RUN.

    Raises:
        UserError: there is no such file, it describes no data, or it names classes of a package that is not trusted.
    """
    return data_of(run_config(checkpoint, config))


def split_data(checkpoint: str, config: str | None) -> ImageDataModule:
    """Returns `training_data` whose splits are to be used, with a warning if its images have changed since."""
    data_module = training_data(checkpoint, config)
    training = read_checkpoint(checkpoint).get("training") or {}
    changed = changed_images(training.get("images", ()), data_module)
    if changed:
        distributed.warn_once(changed)
    return data_module


def data_of(path: Path) -> ImageDataModule:
    """Returns the data module that a configuration describes.

    Raises:
        UserError: it describes no data, or names classes of a package that is not trusted.
    """
    described = contents_of(path).get("data")
    if not isinstance(described, dict):
        raise UserError(f"{path} does not say what data was trained on: name the run's config.yaml by --config")
    data_module: ImageDataModule = _build(ImageDataModule, described, path)
    return data_module


def names_extractor(path: Path) -> bool:
    """Returns whether a configuration describes a feature extractor.

    Raises:
        UserError: as for `contents_of`.
    """
    return _described_extractor(path) is not None


def extractor_of(path: Path) -> FeatureExtractor:
    """Returns the feature extractor that a configuration describes.

    Raises:
        UserError: it describes none, or as for `data_of`.
    """
    described = _described_extractor(path)
    if described is None:
        raise UserError(f"{path} names no feature extractor: name one by --extractor")
    extractor: FeatureExtractor = _build(FeatureExtractor, described, path)
    return extractor


def run_config(checkpoint: str, config: str | None) -> Path:
    """Returns the configuration of the run that wrote a checkpoint; arguments as for `training_data`."""
    if config:
        return configuration_of(config)
    path = Path(checkpoint).resolve()
    # An exported model is outside of its run, whose folder is unknown.
    return (path if is_exported(path) else path.parent.parent) / "config.yaml"


def configuration_of(named: str) -> Path:
    """Returns the configuration that a path names: the file itself, or that of a run or of its checkpoint."""
    path = Path(named)
    if path.is_dir():
        return path / "config.yaml"
    return run_config(named, None) if path.suffix == ".ckpt" else path


def contents_of(path: Path) -> dict[str, Any]:
    """Returns the contents of a configuration.

    Raises:
        UserError: there is no such file, or it is no configuration.
    """
    contents = read_yaml(path) if path.is_file() else None
    if not isinstance(contents, dict):
        raise UserError(
            f"{path} does not say what data was trained on: copy the run's config.yaml there, or name it by --config "
            "where the command has that"
        )
    return contents


def _described_extractor(path: Path) -> object:
    evaluation = contents_of(path).get("evaluation")
    return evaluation.get("extractor") if isinstance(evaluation, dict) else None


def _build(family: type, described: object, path: Path) -> Any:
    """Returns the object of a class of `family` that a configuration describes."""
    check_plain(described, path)
    import_packages(PACKAGES)
    with described_by(path):
        built = build(lambda parser: parser.add_subclass_arguments(family, "described"), in_home(described), path)
    assert isinstance(built, family)
    return built
