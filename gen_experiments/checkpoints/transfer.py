"""Training that starts from the weights of another model, as far as they fit."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.checkpoints.layouts import layout_of
from gen_experiments.checkpoints.layouts.base import Converted, Layout, Unconvertible
from gen_experiments.checkpoints.paths import named_checkpoint
from gen_experiments.errors import UserError, quoted
from gen_experiments.models.base import ImageModel
from gen_experiments.training.ema import HasAverages
from gen_experiments.untrusted.unreadable import Unreadable
from gen_experiments.untrusted.weight_files import files_of, read_weights, settings_of

EXTRA = "_extra_state"  # torch's name
MAX_NAMED = 8
NAMED_OF_EACH = 3  # where nothing fits
# What wrappers put before the names of a model's weights: DDP and DataParallel, Lightning modules, latent-diffusion.
PREFIXES = ("module.", "model.", "first_stage_model.")
COMPILED = "_orig_mod."


@dataclass(frozen=True)
class _Match:
    """Weights of a file that fit a model.

    Attributes:
        weights: by the model's names.
        layout: the project they come from; None for this one, whose names they have.
        converted: all weights of the layout, under the names of a model here.
        lacking: parts of these that do not fit.
        shapes: in words, of weights that do not fit, by the model's names.
        unused: names in the file of what has no place in the model.
        without: the file of the layout's settings, if it is not there.
    """

    weights: dict[str, Tensor]
    layout: Layout | None = None
    converted: Converted | None = None
    lacking: tuple[str, ...] = ()
    shapes: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    without: str | None = None


@torch.no_grad()
def load_what_fits(model: ImageModel, path: str | Path) -> list[str]:
    """Loads the weights of a file that have the names and shapes of a model's weights.

    The names may be those of this project, also behind the prefixes of wrappers, or of a published layout (`layouts`);
    of a layout, the parts of a model fit as a whole or not at all. Everything else, such as images seen and the state
    of optimizers, starts anew. The extra state of a module is loaded only if all its tensors fit. Moving averages that
    the file does not hold start as copies. Weights are converted to the model's precision.

    Args:
        model: gets the weights.
        path: a checkpoint of any model of this project, its run or export, or a file of weights that
            `untrusted.weight_files.read_weights` reads; FILE:NAME names one of several dictionaries in it.

    Returns:
        Lines that say how many weights were loaded, and which were not.

    Raises:
        UserError: the file holds no weights, several dictionaries that fit, none that fits, weights that are not finite
            or those of a network that no network here can be.
    """
    path, chosen = _divide(str(path))
    try:
        states = read_weights(path)
    except Unreadable as error:
        raise UserError(f"{path} holds no weights to begin with: {error}") from error
    own = model.state_dict()
    match = _only_match(path, states, chosen, own)
    if match.converted is not None:
        for attribute, value in match.converted.requires.items():
            taken = f"{attribute.partition('.')[0]}." not in match.lacking
            if taken and attrgetter(attribute)(model) != value:
                raise UserError(f"{path} needs --model.{attribute}={str(value).lower()}")
    fitting = {name: _convert(weight, own[name], name, path) for name, weight in match.weights.items()}
    model.load_state_dict(fitting, strict=False)
    loaded = {*fitting, *_fill_averages(model, fitting.keys())}
    return _lines(path, own, loaded, match)


def files_named(named: str) -> list[Path]:
    """Returns the files that FILE, FILE:NAME or a folder stands for, as `load_what_fits` reads them."""
    return files_of(_divide(named)[0])


def _divide(named: str) -> tuple[Path, str | None]:
    """Returns the file that FILE or FILE:NAME names, and the name."""
    file, _, name = named.rpartition(":")
    if file and not Path(named).exists():
        return named_checkpoint(file), name
    path = named_checkpoint(named)
    if not path.exists():
        raise UserError(f"there is no checkpoint at {path}")
    return path, None


def _only_match(
    path: Path, states: Mapping[str, Mapping[str, Tensor]], chosen: str | None, own: Mapping[str, Tensor]
) -> _Match:
    """Returns the weights of the one dictionary in a file that fits.

    Raises:
        UserError: there is none, or several and no choice, or the chosen one is not there.
    """
    names = ", ".join(map(quoted, states))
    if chosen is not None and chosen not in states:
        raise UserError(f"{path} holds no {quoted(chosen)}: choose from {names}")
    offered = dict(states) if chosen is None else {chosen: states[chosen]}
    joined = {f"{name}.{key}": weight for name, state in states.items() for key, weight in state.items()}
    if chosen is None and layout_of(joined) is not None:
        offered = {"": joined}
    matches = {name: _match(path, weights, own) for name, weights in offered.items()}
    fitting = [name for name, match in matches.items() if match.weights]
    if len(fitting) > 1:
        choices = " or ".join(f"{path}:{quoted(name)}" for name in fitting)
        raise UserError(f"{path} holds several sets of weights that fit: name one, {choices}")
    if fitting:
        return matches[fitting[0]]
    for match in matches.values():
        if match.layout is not None and match.converted is not None:
            raise UserError(f"{path} holds {match.layout.source}, which this model is not: {match.converted.sizes}")
    theirs = ", ".join([quoted(name) for weights in offered.values() for name in weights][:NAMED_OF_EACH])
    ours = ", ".join([name for name in own if not name.endswith(EXTRA)][:NAMED_OF_EACH])
    raise UserError(
        f"no weight of {path} fits this model by name and shape: it holds {theirs} and so on, and the model {ours} and "
        "so on; name a checkpoint of a similar one"
    )


def _match(path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> _Match:
    variants = [*_variants(state)]
    known = next(((layout, variant) for variant in variants if (layout := layout_of(variant)) is not None), None)
    if known is None:
        return max((_match_by_name(variant, own) for variant in variants), key=lambda match: len(match.weights))
    layout, variant = known
    try:
        settings = None if layout.settings is None else settings_of(path, layout.settings)
        layout.check(settings or {})
        match = _match_by_layout(layout, variant, own)
    except (Unconvertible, Unreadable) as reason:
        raise UserError(f"{path} holds {layout.source}, which cannot be loaded: {reason}") from reason
    return replace(match, without=layout.settings if settings is None else None)


def _variants(state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yields weights under their names, and those behind the prefixes of wrappers without these."""
    variant = {name.replace(COMPILED, ""): weight for name, weight in state.items()}
    yield variant
    for prefix in PREFIXES:
        inner = {name.removeprefix(prefix): weight for name, weight in variant.items() if name.startswith(prefix)}
        if inner:
            yield from _variants(inner)


def _match_by_layout(layout: Layout, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> _Match:
    converted = layout.convert(state)
    weights: dict[str, Tensor] = {}
    lacking = []
    for part in converted.parts:
        layout_weights = {name: weight for name, weight in converted.weights.items() if name.startswith(part)}
        state = {name: weight for name, weight in converted.state.items() if name.startswith(part) and name in own}
        wanted = {name for name in own if name.startswith(part)} - state.keys()
        if wanted == layout_weights.keys() and all(
            _fits(weight, own[name]) for name, weight in (layout_weights | state).items()
        ):
            weights |= layout_weights | state
        else:
            lacking.append(part)
    return _Match(weights, layout, converted, tuple(lacking), unused=converted.unused)


def _match_by_name(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> _Match:
    fitting = {name: state[name] for name in own if name in state and _fits(state[name], own[name])}
    spoilt = {name.rpartition(".")[0] for name in own if name not in fitting}
    for name in [*fitting]:
        if name.endswith(EXTRA) and any(part.startswith(name.removesuffix(f".{EXTRA}")) for part in spoilt):
            del fitting[name]
    if all(name.endswith(EXTRA) for name in fitting):
        fitting = {}
    lacking = {name: _shape(state[name]) if name in state else "not there" for name in own if name not in fitting}
    unused = tuple(name for name in state if name not in own)
    return _Match(fitting, shapes=lacking, unused=unused)


def _fits(read: Tensor, own: Tensor) -> bool:
    return read.shape == own.shape and not read.is_complex() and read.is_floating_point() == own.is_floating_point()


def _convert(weight: Tensor, own: Tensor, name: str, path: Path) -> Tensor:
    """Returns a weight in the model's precision.

    Raises:
        UserError: it is not finite there.
    """
    converted = weight.to(own.dtype)
    if converted.is_floating_point() and not converted.isfinite().all():
        raise UserError(f"{path} holds numbers that are not finite, in {quoted(name)}: it is damaged, or diverged")
    return converted


def _fill_averages(model: ImageModel, loaded: Iterable[str]) -> set[str]:
    """Copies the parts that were loaded to their averages that were not; returns the names of what came to be so."""
    paths = {module: name for name, module in model.named_modules()}
    filled: set[str] = set()
    for average, part in model.averaged_parts() if isinstance(model, HasAverages) else []:
        to, of = f"{paths[average]}.module.", f"{paths[part]}."
        if not any(name.startswith(to) for name in loaded):
            average.module.load_state_dict(part.state_dict())
            filled |= {to + name.removeprefix(of) for name in loaded if name.startswith(of)}
    return filled


def _lines(path: Path, own: Mapping[str, Tensor], loaded: set[str], match: _Match) -> list[str]:
    weights = [name for name in own if not name.endswith(EXTRA)]
    count = sum(name in loaded for name in weights)
    layout, converted = match.layout, match.converted
    of = "" if layout is None else f", {layout.source}"
    lines = [f"begins with {count} of {len(weights)} weights, from {path}{of}"]
    if match.lacking and converted is not None:
        parts = " and ".join(part.removesuffix(".") for part in match.lacking)
        lines.append(f"this is not the model of {path}: {parts} does not fit and begins anew; {converted.sizes}")
    if match.without is not None:
        lines.append(f"there is no {match.without} beside it: its defaults are assumed")
    missing = [
        f"{name} ({_shape(own[name])} here, {match.shapes.get(name, 'not there')})"
        for name in weights
        if name not in loaded
    ]
    lines += _name_some("not loaded", missing)
    lines += _name_some("not used", [name for name in match.unused if not name.endswith(EXTRA)])
    return lines


def _name_some(what: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return [f"{what}: {', '.join(map(quoted, names[:MAX_NAMED]))}{more}"] if names else []


def _shape(weight: Tensor) -> str:
    return "x".join(map(str, weight.shape)) or "a number"
