"""Checkpoints that are broken or hostile, as changes to a good one: by name, what is done to its contents."""

import copy
import json

import torch

COMMAND = "touch COMMAND_RAN"


def hyper(**values):
    """Sets hyperparameters."""
    return lambda checkpoint: checkpoint["hyper_parameters"].update(values)


def content(**values):
    """Sets entries of the checkpoint itself."""
    return lambda checkpoint: checkpoint.update(values)


def without(*keys):
    """Leaves entries of the checkpoint out."""
    return lambda checkpoint: [checkpoint.pop(key) for key in keys]


def part(class_path, **init_args):
    return {"class_path": class_path, "init_args": init_args}


def cyclic():
    value = {"class_path": "DCGANGenerator"}
    value["init_args"] = value
    return value


def doubled(times=40):
    value = ["x", "x"]
    for _ in range(times):
        value = [value, value]
    return value


def nested(times=400):
    value = 1
    for _ in range(times):
        value = [value]
    return value


def _weights(change):
    return lambda checkpoint: change(checkpoint["state_dict"])


def _first(state, value):
    state[next(iter(state))] = value


BOMB = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)), "b: *a11"]
)

# Functions and modules that a trusted prefix, a plain string or text within text would reach.
REACHING = {
    "torch.os.system": part("torch.os.system", command=COMMAND),
    "torch.hub.load": part("torch.hub.load", repo_or_dir=".", model="canary_function", source="local"),
    "torch.load": part("torch.load", f="pickled.pt", weights_only=False),
    "torch.utils.cpp_extension.load": part("torch.utils.cpp_extension.load", name="canary", sources=["canary.cpp"]),
    "torch.optim.os": part("torch.optim.adam.os.system", command=COMMAND),
    "torch.nn.sys": part("torch.nn.modules.module.warnings.sys.exit"),
    "subprocess": part("subprocess.run", args=COMMAND, shell=True),
    "os": part("os.system", command=COMMAND),
    "builtins": part("builtins.exec", source="open('COMMAND_RAN', 'w')"),
    "ours.os": part("gen_experiments.storage.os.system", command=COMMAND),
    "ours.main": part("gen_experiments.__main__.main", arguments=["sample", "x"]),
    "ours.write": part("gen_experiments.images.save_image", image=1, path="COMMAND_RAN"),
    "ours.load": part("gen_experiments.models.code_model.load_model", path="x", able=1, task="x"),
    "lightning": part("lightning.pytorch.LightningModule.load_from_checkpoint", checkpoint_path="x"),
    "through a model": part("gen_experiments.models.gan.GAN.load_from_checkpoint", checkpoint_path="x"),
    "jsonargparse": part("jsonargparse.set_parsing_settings", import_path_allowlist=["os"]),
    "foreign class": part("canary_module.Part"),
    "foreign function": part("canary_module.function"),
    "plain string": "canary_module.function",
    "plain string to a module": "canary_module",
    "string of JSON": json.dumps(part("canary_module.Part")),
    "string of YAML": "class_path: canary_module.Part\ninit_args: {}\n",
    "string of JSON to a command": json.dumps(part("torch.os.system", command=COMMAND)),
    "string with a tag": "!!python/object/apply:os.system ['touch COMMAND_RAN']",
    "file of YAML": "part.yaml",
    "plain torch.os.system": "torch.os.system",
    "string bomb": BOMB,
    "string that contains itself": "&a [*a]",
}

MALFORMED = {
    "None": None,
    "a list": [1, 2],
    "a number": 3,
    "a true": True,
    "text": "nothing",
    "empty": {},
    "unknown class": part("NoSuchClass"),
    "class of another family": part("gen_experiments.losses.adversarial.NonSaturating"),
    "unknown arguments": part("torch.optim.Adam", no_such=1),
    "class that is no text": {"class_path": 7},
    "contains itself": cyclic(),
    "doubled forty times": doubled(),
    "nested deeply": nested(),
    "a tensor": torch.zeros(3),
    "a set": {1, 2},
    "a dtype": torch.float32,
}

CONTENTS = {
    "no hyperparameters": without("hyper_parameters"),
    "hyperparameters of None": content(hyper_parameters=None),
    "hyperparameters in a list": content(hyper_parameters=["_class_path"]),
    "hyperparameters in a number": content(hyper_parameters=1.5),
    "hyperparameters that are empty": content(hyper_parameters={}),
    "class of None": hyper(_class_path=None),
    "class of a list": hyper(_class_path=["gen_experiments.models.gan.GAN"]),
    "class without a module": hyper(_class_path="GAN"),
    "class of nobody": hyper(_class_path="gen_experiments.models.gan.NoSuchModel"),
    "module of nobody": hyper(_class_path="gen_experiments.models.nowhere.GAN"),
    "class that is no model": hyper(_class_path="gen_experiments.networks.generators.DCGANGenerator"),
    "class that is a function": hyper(_class_path="torch.os.system"),
    "foreign model": hyper(_class_path="canary_module.Part"),
    "foreign instantiator": lambda c: c["hyper_parameters"].update(_instantiator="canary_module.f", no_such=1),
    "unknown hyperparameter": hyper(no_such=1),
    "hyperparameter that is no text": lambda c: c["hyper_parameters"].update({7: 7}),
    "no image": lambda c: c["hyper_parameters"].pop("image"),
    "image of None": hyper(image=None),
    "image of text": hyper(image="canary_module.function"),
    "image with an unknown key": hyper(image={"no_such": 1}),
    "image too large": hyper(image={"channels": 1, "size": 2**20, "num_classes": None}),
    "image of no size": hyper(image={"channels": 1, "size": 0, "num_classes": None}),
    "no weights": without("state_dict"),
    "weights of None": content(state_dict=None),
    "weights in a list": content(state_dict=[torch.zeros(1)]),
    "empty weights": content(state_dict={}),
    "one weight missing": _weights(lambda state: state.pop(next(iter(state)))),
    "one weight too many": _weights(lambda state: state.update(no_such=torch.zeros(1))),
    "weight that is a number": _weights(lambda state: _first(state, 1)),
    "weight of another shape": _weights(lambda state: _first(state, torch.zeros(7, 7))),
    "weight that is one number repeated": _weights(lambda state: _first(state, torch.zeros(()).expand(1 << 40))),
    "sparse weight": _weights(lambda state: _first(state, torch.eye(3).to_sparse())),
    "weight without a name": _weights(lambda state: state.update({3: torch.zeros(1)})),
    "no images seen": without("images_seen"),
    "images seen of text": content(images_seen="many"),
    "images seen of None": content(images_seen=None),
    "only a tensor": None,
}


def changed(checkpoint, change):
    result = copy.deepcopy(checkpoint)
    change(result)
    return result
