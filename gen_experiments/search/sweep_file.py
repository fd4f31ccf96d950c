"""The file of a W&B sweep: its parameters, the search method and the early termination."""

import itertools
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gen_experiments.errors import UserError, quoted
from gen_experiments.untrusted.plain_values import check_plain, read_yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

METHODS = ("bayes", "random", "grid")
GOALS = ("minimize", "maximize")
RANGES = ("int_uniform", "uniform", "log_uniform_values", "q_uniform")


@dataclass(frozen=True)
class SweepFile:
    """A sweep in the format of `wandb sweep`.

    Attributes:
        path: the file.
        method: bayes, random or grid.
        metric: the name of the metric.
        goal: minimize or maximize.
        parameters: the descriptions of the varied options, by their keys on the command line.
        early_terminate: the description of the early termination; None for none.
        arguments: the arguments of `fit`, without the varied options.
    """

    path: Path
    method: str
    metric: str
    goal: str
    parameters: dict[str, dict[str, Any]]
    early_terminate: dict[str, Any] | None
    arguments: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "SweepFile":
        """Reads a file.

        Raises:
            UserError: there is no file, it is no sweep of `gen_experiments fit`, or only W&B's server can run it.
        """
        if not path.is_file():
            raise UserError(f"there is no sweep at {path}")
        contents = read_yaml(path)
        check_plain(contents, path)
        command = contents.get("command") if isinstance(contents, dict) else None
        if not isinstance(command, list) or "fit" not in command:
            raise UserError(f"{path} is no sweep of `gen_experiments fit`: its `command` must say so, as in sweeps/")
        metric, parameters = contents.get("metric"), contents.get("parameters")
        if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
            raise UserError(f"{path} names no metric")
        if not isinstance(parameters, dict) or not parameters:
            raise UserError(f"{path} has no parameters")
        for key, described in parameters.items():
            if not isinstance(described, dict):
                raise UserError(f"{path}: {key} must have keys of its own, such as values, or min and max")
        method, goal = contents.get("method"), metric.get("goal", "minimize")
        if method not in METHODS or goal not in GOALS:
            raise UserError(
                f"{path} has the method {quoted(str(method))} and the goal {quoted(str(goal))}: "
                "bayes, random or grid, and minimize or maximize are known"
            )
        words = [str(word) for word in command]
        arguments = tuple(word for word in words[words.index("fit") + 1 :] if word != "${args}")
        early = contents.get("early_terminate")
        sweep = cls(path, method, metric["name"], goal, parameters, early, arguments)
        if method == "grid":
            sweep.combinations()
        else:
            sweep.distributions()
            sweep.weighted(0)
        sweep.pruner()
        return sweep

    def combinations(self) -> list[dict[str, Any]]:
        """Returns all combinations of a grid, in the order of the file.

        Raises:
            UserError: a parameter has no list of values.
        """
        choices = []
        for key, described in self.parameters.items():
            values = self._values(key, described)
            if values is None:
                raise UserError(f"{self.path}: a grid needs the values of {key}")
            choices.append([(key, value) for value in values])
        return [dict(chosen) for chosen in itertools.product(*choices)]

    def distributions(self) -> dict[str, "BaseDistribution"]:
        """Returns the distribution of each parameter.

        Raises:
            UserError: a parameter has no known distribution.
        """
        return {key: self._distribution(key, described) for key, described in self.parameters.items()}

    def weighted(self, seed: int) -> dict[str, Any]:
        """Returns a draw of each parameter whose values have `probabilities`, which the method `random` alone obeys.

        Raises:
            UserError: they are not as many numbers as there are values, or do not sum to 1.
        """
        drawn = {}
        for key, described in self.parameters.items():
            if self.method == "random" and "probabilities" in described and "values" in described:
                values, weights = self._values(key, described) or [], described["probabilities"]
                try:
                    fits = len(weights) == len(values) and min(weights) >= 0 and math.isclose(math.fsum(weights), 1)
                except TypeError:
                    fits = False
                if not fits:
                    raise UserError(
                        f"{self.path}: the probabilities of {key} must be one number for each value, and sum to 1"
                    )
                drawn[key] = random.Random(f"{seed} {key}").choices(values, weights)[0]
        return drawn

    def sampler(self, seed: int) -> "BaseSampler":
        """Returns the sampler: for `bayes` a Parzen estimator, while W&B's server uses a Gaussian process."""
        from optuna.samplers import RandomSampler, TPESampler

        return TPESampler(seed=seed) if self.method == "bayes" else RandomSampler(seed=seed)

    def pruner(self) -> "BasePruner":
        """Returns the pruner: successive halving, which is W&B's hyperband without brackets.

        Raises:
            UserError: early termination of another type, or by numbers out of range.
        """
        from optuna.pruners import NopPruner, SuccessiveHalvingPruner

        early = self.early_terminate
        if early is None:
            return NopPruner()
        if not isinstance(early, dict) or early.get("type") != "hyperband":
            raise UserError(f"{self.path}: only early_terminate of type hyperband is known")
        try:
            eta = int(early.get("eta", 3))
            first = int(early["min_iter"]) if "min_iter" in early else int(early["max_iter"]) // eta ** int(early["s"])
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise UserError(f"{self.path}: early_terminate cannot be used ({quoted(error)})") from error

    def _values(self, key: str, described: dict[str, Any]) -> list[Any] | None:
        """Returns the values of a parameter that lists them; None of a range."""
        if "values" not in described:
            return [described["value"]] if "value" in described else None
        values = described["values"]
        if not isinstance(values, list) or not values:
            raise UserError(f"{self.path}: the values of {key} are no list of one or more")
        return values

    def _distribution(self, key: str, described: dict[str, Any]) -> "BaseDistribution":
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        values, name = self._values(key, described), described.get("distribution")
        if values is not None:
            return CategoricalDistribution(values)
        if name is not None and name not in RANGES:
            raise UserError(f"{self.path}: the distribution {name} of {key} is not known without W&B's server")
        try:
            low, high = described["min"], described["max"]
            if not (math.isfinite(float(low)) and math.isfinite(float(high))):
                raise ValueError("min and max must be finite")
            if name == "int_uniform" or (name is None and isinstance(low, int) and isinstance(high, int)):
                if not (float(low).is_integer() and float(high).is_integer()):
                    raise ValueError("min and max must be whole numbers")
                return IntDistribution(int(low), int(high))
            step = float(described.get("q", 1)) if name == "q_uniform" else None
            return FloatDistribution(float(low), float(high), log=name == "log_uniform_values", step=step)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{self.path}: {key} cannot be drawn from ({quoted(error)})") from error
