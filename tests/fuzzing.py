"""Command lines with mistakes in them, made by a seed from what the parsers and the commands accept."""

import contextlib
import copy
import inspect
import io
import random
from itertools import pairwise
from pathlib import Path

import yaml

from conftest import CONFIGS
from fuzz_values import FRAGMENTS, NODES, OUTS, TEXTS, VALUES

# On top of a shipped configuration: a run of one step that writes nothing but its configuration.
TINY = {
    "data": {"init_args": {"batch_size": 8, "eval_batch_size": 32}},
    "evaluation": {"samples": 8},
    "trainer": {
        "max_steps": 1,
        "accelerator": "cpu",
        "val_check_interval": None,
        "limit_val_batches": 0,
        "limit_test_batches": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
    },
}
TINY_MODELS = {
    "vqvae": {
        "encoder": {"init_args": {"hidden": 4, "residual_hidden": 2}},
        "decoder": {"init_args": {"hidden": 4, "residual_hidden": 2}},
        "quantizer": {"init_args": {"num_codes": 8, "dim": 4}},
    },
    "gan": {
        "generator": {"init_args": {"width": 2, "latent_dim": 4}},
        "discriminator": {"init_args": {"width": 2}},
    },
    "prior": {"prior": {"init_args": {"width": 8, "depth": 1, "heads": 2, "steps": 1}}},
}
# Given last, so that no mistake before them makes a case long; two processes are two runs of this program.
BOUNDS = ("--trainer.max_steps=1", "--trainer.limit_train_batches=1", "--trainer.limit_predict_batches=1")
STARTS_PROCESSES = ("devices", "num_nodes", "strategy", "accelerator", "plugins")


class Fuzzer:
    """Cases of one seed; each writes its files into a folder and is a list of arguments.

    Args:
        seed: names the sequence of cases.
        folder: where the files of the cases go.
        checkpoints: a checkpoint of each model.
    """

    def __init__(self, seed, folder, checkpoints):
        self.random, self.folder, self.checkpoints = random.Random(seed), folder, checkpoints
        self.bases = {name: _base(name) for name in TINY_MODELS}
        self.bases["prior"]["model"]["init_args"]["vqvae"] = str(checkpoints["vqvae"])
        self.keys = {name: sorted(_paths(_resolved(name, checkpoints))) for name in TINY_MODELS}
        self.number = 0

    def case(self):
        """The arguments of the next case."""
        self.number += 1
        kinds = [self.wrong_option, self.wrong_node, self.wrong_file, self.wrong_command, self.wrong_word]
        kind = self.random.choices(kinds, [12, 7, 4, 67, 10])[0]
        return kind()

    def wrong_option(self):
        """`fit` and its siblings with an option of any key that the resolved configuration has."""
        name = self.random.choice(list(self.bases))
        key = ".".join(map(str, self.random.choice(self.keys[name])))
        value = self._value(key)
        if self.random.random() < 0.05:
            key = self._misspelt(key)
        return self._run(name, self._write(yaml.safe_dump(self.bases[name])), f"--{key}={value}")

    def wrong_node(self):
        """A configuration in which one node is another, is gone, or has another name."""
        name = self.random.choice(list(self.bases))
        tree = copy.deepcopy(self.bases[name])
        *above, last = self.random.choice([path for path in _paths(tree) if path[-1] not in STARTS_PROCESSES])
        parent = tree
        for step in above:
            parent = parent[step]
        change = self.random.choice(["replace", "replace", "replace", "remove", "rename", "wrap", "copy"])
        if change == "replace":
            parent[last] = self.random.choice(NODES)
        elif change == "remove":
            del parent[last]
        elif change == "wrap":
            parent[last] = [parent[last]]
        elif change == "copy":
            parent[last] = copy.deepcopy(tree)
        elif isinstance(parent, dict):
            parent[self._misspelt(str(last))] = parent.pop(last)
        return self._run(name, self._write(yaml.dump(tree)))

    def wrong_file(self):
        """A configuration file that is damaged, refers to itself, or is none."""
        name = self.random.choice(list(self.bases))
        text = yaml.safe_dump(self.bases[name])
        place = self.random.randrange(len(text))
        lines = text.splitlines(keepends=True)
        file = self.folder / f"{self.number}.yaml"
        made = self.random.choice(
            [
                text[:place],
                text[:place] + self.random.choice(TEXTS + FRAGMENTS) + text[place:],
                text + text,
                "".join(self.random.sample(lines, len(lines))),
                f"{text}\nconfig: {file}\n",
                f"{text}\nrun: &a\n  name: *a\n",
                "model: &m\n  class_path: GAN\n  init_args: *m\n",
                "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopq")),
                "[" * self.random.choice([10, 10_000]),
                "\t",
                "",
                "3",
                "--- 1\n--- 2\n",
            ]
        )
        data = made.encode(errors="surrogateescape")
        if self.random.random() < 0.2:
            data = self.random.choice(
                [b"\x00" * 9, b"\xff\xfe" + data, data[:place] + b"\xff" + data[place:], bytes(range(256))]
            )
        file.write_bytes(data)
        path = self.random.choice([str(file)] * 8 + [str(self.folder), "/dev/null", "nowhere\udcff.yaml"])
        return self._run(name, path)

    def wrong_command(self):
        """A command over a checkpoint with one or two wrong options."""
        from gen_experiments.__main__ import COMMANDS
        from gen_experiments.cli.dispatch import POSITIONALS, TRAINER_COMMANDS, function_of

        untried = {*TRAINER_COMMANDS, "demo"}  # `demo` serves until it is stopped
        command = self.random.choice([name for name in COMMANDS if name not in untried])
        parameters = inspect.signature(function_of(command)).parameters
        places = POSITIONALS.get(command, ("checkpoint",))
        options = {"images": self.folder / "pictures", "codes": self.folder / "codes.npz", "out": self._out()}
        arguments = {name: value for name, value in options.items() if name in parameters and name not in places}
        small = {"steps": 11, "per_class": 2, "num": 2, "proposals": 1}
        if command != "sample":
            arguments |= {name: value for name, value in small.items() if name in parameters}
        wrong = [name.removesuffix("_") for name in parameters if name not in places]
        for name in self.random.sample(wrong, min(len(wrong), self.random.choice([1, 1, 2]))):
            arguments[self._misspelt(name) if self.random.random() < 0.04 else name] = self._value(name)
        checkpoint = self.checkpoints[_USUAL.get(command) or self.random.choice(list(self.checkpoints))]
        if self.random.random() < 0.12:
            checkpoint = self.random.choice(
                [*self.checkpoints.values(), self._broken(checkpoint), self.folder, "\udcff", ""]
            )
        others = [str(self._value(place)) for place in places[1:] if self.random.random() < 0.5]
        return [command, str(checkpoint), *others, *(f"--{name}={value}" for name, value in arguments.items())]

    def wrong_word(self):
        """Words in the wrong place."""
        from gen_experiments.__main__ import COMMANDS

        words = [*COMMANDS, *map(str, VALUES), "--help", "--version", "--config", "--print_config", "--num", "-1"]
        return self.random.choices(words, k=self.random.randint(0, 3))

    def _run(self, name, config, *options):
        command = self.random.choices(["fit", "validate", "test", "predict"], [12, 1, 1, 1])[0]
        bounds = BOUNDS if command == "fit" else ()
        return [command, f"--config={config}", *options, f"--run.root={self.folder / 'runs'}", *bounds]

    def _value(self, key):
        value = self.random.choice(VALUES)
        if any(part in STARTS_PROCESSES for part in key.split(".")) and str(value) in ("2", "3"):
            return -7
        if key.endswith(("out", "latents", "root", "dir", "dirpath")):
            return self._out()
        return value

    def _out(self):
        return f"{self.folder}/out/{self.random.choice([*OUTS, 'g' * 300])}"

    def _misspelt(self, name):
        place = self.random.randrange(len(name) + 1)
        return name[:place] + self.random.choice(["x", "", ".", "-", "=", "數", "\udcff", "."]) + name[place + 1 :]

    def _broken(self, checkpoint):
        data = bytearray(Path(checkpoint).read_bytes())
        place = self.random.randrange(len(data))
        data[place : place + 8] = b"\x00\xff" * 4
        file = self.folder / f"{self.number}.ckpt"
        file.write_bytes(data[: self.random.choice([place, len(data)])])
        return file

    def _write(self, text):
        file = self.folder / f"{self.number}.yaml"
        file.write_text(text, encoding="utf-8")
        return file


_USUAL = {
    "interpolate": "gan",
    "explore": "gan",
    "project": "gan",
    "memorisation": "gan",
    "inpaint": "prior",
    "encode": "vqvae",
    "decode": "vqvae",
    "reconstruct": "vqvae",
}


def _base(name):
    """A shipped configuration made small, without its callbacks."""
    tree = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    tree["trainer"]["callbacks"] = [{"class_path": "Pictures"}, {"class_path": "StopOnNonFinite"}]
    return _merged(_merged(tree, TINY), {"model": {"init_args": TINY_MODELS[name]}})


def _resolved(name, checkpoints):
    """All that the parser accepts: a shipped configuration with every default filled in."""
    from gen_experiments.__main__ import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        vqvae = [f"--model.vqvae={checkpoints['vqvae']}"] if name == "prior" else []
        main(["fit", f"--config={CONFIGS / name}.yaml", *vqvae, "--print_config"])
    return yaml.safe_load(printed.getvalue())


def _merged(tree, changes):
    if not isinstance(changes, dict) or not isinstance(tree, dict):
        return changes
    return tree | {key: _merged(tree.get(key), value) for key, value in changes.items()}


def _paths(tree, path=()):
    """The way to every node."""
    if path:
        yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from _paths(value, (*path, key))
