"""What a mistake may consist of: numbers, words and pieces of YAML that stand where something else belongs."""

NUMBERS = [-1, 0, 1, 2, 3, -(2**63), 2**36, 2**40, 2**64, 10**30, -0.5, 0.5, 1.5, 1e-300, 1e308]
WORDS = [
    "nan",
    "inf",
    "-inf",
    "null",
    "true",
    "~",
    "",
    " ",
    "None",
    "32.0",
    "1e400",
    "many",
    "0x10",
    "1_000",
    "--",
    "-",
]
TEXTS = [
    "Größe",
    "数",
    "\U0001f600",
    "a\x00b",
    "a\nb",
    "\udcff\udcfe",
    "'",
    '"',
    "%s",
    "{}",
    "${HOME}",
    "..",
    "x" * 5000,
]
FRAGMENTS = [
    "[",
    "{",
    "[]",
    "{}",
    "[1, 2]",
    "[-1]",
    "[null]",
    "{a: 1}",
    "[[[]]]",
    "&a [*a]",
    "*a",
    "!!python/name:os.system",
    "? {}",
    "a: b: c",
    "{class_path: os.system}",
    "{class_path: GAN}",
    "{class_path: Adam}",
    "{init_args: 3}",
    "{class_path: Digits, init_args: {size: 3}}",
    "os.system",
    "gen_experiments",
    "torch.nn.Linear",
    "Digits",
    "GAN",
    "VQVAE",
    "EMAQuantizer",
    "R1",
    "Cosine",
    "torch.optim.SGD",
    "lightning.pytorch.callbacks.Timer",
]
VALUES = [*NUMBERS, *WORDS, *TEXTS, *FRAGMENTS, "[" * 2000]
CLASSES = [{"class_path": "GAN"}, {"class_path": 3}, {"class_path": "os.system", "init_args": {"command": "true"}}]
TREES = [None, True, "", "many", "数", [], {}, [[]], [1, 2], [None], {"a": 1}, float("nan"), float("inf"), b"\xff"]
NODES = [*NUMBERS, *CLASSES, *TREES]
OUTS = ["", "b", "a.png", "c.gif", "d.webp", "e.xyz", "codes.npz/f.png", "\udcff.png", "数.jpg", "a\x00b.png", "h.png/"]
