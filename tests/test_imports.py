"""Who may import whom: downward only."""

import ast
import re
from pathlib import Path

import pytest

import gen_experiments
from gen_experiments.__main__ import COMMANDS
from processes import python

PACKAGE = Path(gen_experiments.__file__).parent
FLOOR = {
    "channels",
    "checkpoints.arguments",
    "checkpoints.exports",
    "checkpoints.paths",
    "contracts",
    "cores",
    "images",
    "distributed",
    "randomness",
    "schedules",
    "storage",
    "errors",
    "grids",
    "pure_functions",
    "precision",
    "progress",
    "sizes",
    "temporaries",
    "units",
    "untrusted",
}
PARTS = {"networks", "losses", "quantizers", "priors", "metrics", "data"}
PARSER = {
    "cli.class_paths",
    "cli.mistakes",
    "cli.parser",
    "cli.printing",
}  # a checkpoint, too, is a description that is parsed
CHECKPOINTS = {"checkpoints.descriptions", "checkpoints.loading", "checkpoints.transfer"}
MODELS = {"models", "training"}
BELOW_COMMANDS = FLOOR | PARTS | PARSER | CHECKPOINTS | MODELS | {"evaluation", "reports", "search", "runs"}
BELOW_CLI = BELOW_COMMANDS | {"callbacks", "commands"}
# A key is a folder, a file at the top, or a file that stands lower than the rest of its folder.
MAY_IMPORT = {
    # `load` and `images_of`, when they are called.
    "__init__": {"models", "checkpoints.descriptions", "checkpoints.loading", "data"},
    **dict.fromkeys(FLOOR | PARTS, FLOOR),
    "priors": FLOOR | {"networks"},
    "losses": FLOOR | {"metrics"},  # a distance by the features of a trained classifier
    "training": FLOOR | {"losses", "networks"},
    # A prior is built over a VQ-VAE, which is read.
    "models": FLOOR | PARTS | {"training", "runs", "checkpoints.loading"},
    "checkpoints": set(),
    "checkpoints.layouts": {"errors"},
    "checkpoints.size_limit": {"errors"},
    "checkpoints.descriptions": FLOOR | {"cli.mistakes", "cli.parser"},
    # Both take models by `models.base`, which imports neither.
    "checkpoints.loading": FLOOR | {"models", "checkpoints.descriptions", "checkpoints.size_limit"},
    "checkpoints.transfer": FLOOR | MODELS | {"checkpoints.layouts"},
    "evaluation": FLOOR | {"metrics"},
    "reports": FLOOR | {"runs"},
    "search": FLOOR | {"runs"},
    "callbacks": FLOOR | {"losses", "metrics", "runs", "evaluation"},
    "runs": FLOOR,
    "commands": BELOW_CLI,
    "cli.class_paths": {"errors"},
    "cli.mistakes": {"cli.class_paths", "errors"},
    "cli.parser": {"cli.mistakes", "cli.printing", "errors", "untrusted"},
    "cli.printing": {"runs"},
    "cli.pipes": {"errors"},
    "cli.stopping": {"runs"},
    "cli.reporting": {"cli.mistakes", "cli.printing", "errors"},
    "cli.experiment": BELOW_CLI,
    "cli.trainer_commands": BELOW_CLI | {"cli.experiment", "cli.pipes"},
    "cli": BELOW_CLI | {"cli.reporting", "cli.trainer_commands"},
    "__main__": {"cli", "cli.printing", "cli.reporting", "cli.stopping", "cores", "errors"},
}
MAY_USE_LIGHTNING = MODELS | {"data", "callbacks", "cli.experiment", "cli.trainer_commands"}
MAY_USE_WANDB = {"callbacks"}
HEAVY = {"plotly", "optuna", "wandb", "torchvision", "torch_fidelity", "sklearn", "scipy", "PIL"}
HEAVY |= {"onnx", "onnxruntime", "onnxscript", "gradio", "datasets", "simplejpeg"}

FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}


class Imports(ast.NodeVisitor):
    """The full names a file imports at all, and those it imports as soon as it is imported itself.

    What only type checkers read is left out: it binds nothing.
    """

    def __init__(self, source):
        self.all, self.early, self._depth = set(), set(), 0
        self.visit(ast.parse(source))

    def _add(self, names):
        self.all.update(names)
        if not self._depth:
            self.early.update(names)

    def visit_Import(self, node):
        self._add({alias.name for alias in node.names})

    def visit_ImportFrom(self, node):
        assert node.level == 0, "imports are absolute"
        self._add({node.module} | {f"{node.module}.{alias.name}" for alias in node.names})

    def visit_If(self, node):
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815


def _roots(names):
    return {name.split(".")[0] for name in names}


def _room(parts):
    """The key of `MAY_IMPORT` for the words of a name below the package."""
    return ".".join(parts[:2]) if ".".join(parts[:2]) in MAY_IMPORT else parts[0]


@pytest.fixture(params=FILES)
def room(request):
    return _room(FILES[request.param].relative_to(PACKAGE).with_suffix("").parts)


@pytest.fixture
def imports(request, room):
    return Imports(FILES[request.node.callspec.params["room"]].read_text(encoding="utf-8"))


def test_imports_go_downward(room, imports):
    assert room in MAY_IMPORT, f"say in this test what {room} may import"
    rooms = {_room(name.split(".")[1:]) for name in imports.all if name.startswith("gen_experiments.")}
    assert rooms & set(MAY_IMPORT) - {room} <= MAY_IMPORT[room]


def test_no_file_needs_itself_when_it_is_imported():
    modules = {file: ".".join(("gen_experiments", *Path(file).with_suffix("").parts)) for file in FILES}
    sources = {name.removesuffix(".__init__"): FILES[file].read_text("utf-8") for file, name in modules.items()}
    needs = {name: Imports(source).early & sources.keys() for name, source in sources.items()}
    while free := {name for name, needed in needs.items() if not needed & needs.keys()}:
        needs = {name: needed for name, needed in needs.items() if name not in free}
    assert not needs


def test_lightning_and_wandb_stay_in_their_rooms(room, imports):
    roots = _roots(imports.all)
    assert "lightning" not in roots or room in MAY_USE_LIGHTNING
    assert "wandb" not in roots or room in MAY_USE_WANDB


def test_heavy_modules_are_imported_when_they_are_used(room, imports):
    assert not _roots(imports.early) & HEAVY


LIGHT = {"torch", "lightning", "numpy"}


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["report", "nowhere"], LIGHT | {"rich"}),
        (["compare", "nowhere", "nowhere2"], {"lightning", "torchmetrics", "torchvision"}),
        (["sweep", "nowhere"], LIGHT | {"optuna"}),
        (["sample", "nowhere"], LIGHT),
        (["evaluate", "nowhere"], LIGHT),
        (["stats", "nowhere"], LIGHT),
        (["test", "--config=nowhere.yaml"], LIGHT),
        (["fit", "-c", "nowhere.yaml"], LIGHT),
    ],
)
def test_a_file_that_does_not_exist_is_told_before_slow_imports(words, absent):
    code = (
        "import sys\n"
        "from gen_experiments.__main__ import main\n"
        "try:\n"
        f"    main({words})\n"
        "finally:\n"
        "    print('\\nMODULES', *sys.modules)"
    )
    done = python(code=code)
    modules = done.stdout.rpartition("MODULES")[2]
    assert "nowhere" in done.stderr
    assert "gen_experiments.cli.dispatch" in modules.split()
    assert not absent & set(modules.split())


def test_the_visitor_sees_what_it_must():
    found = Imports("import a.b\nfrom c import d\nif TYPE_CHECKING:\n    import e\ndef f():\n    import g\n")
    assert found.all == {"a.b", "c", "c.d", "g"}
    assert found.early == {"a.b", "c", "c.d"}


PACKAGES = sorted(str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.glob("*/**/__init__.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_guide_of_a_package_names_its_files(package):
    folder = PACKAGE / package
    guide = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    commands = {name.replace("-", "_") for name in COMMANDS} if package.startswith("commands") else set()
    files = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    named = set(re.findall(r"`(\w+)`", guide)) - (commands - files)  # `decode` and `damage` have no files of their own
    assert files - commands - {"__init__"} <= named <= files
