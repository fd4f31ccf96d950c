"""Writes the tables of measured results from the records beside them.

    python tests/results.py

In `configs/experiments/*/README.md` the lines between the marks `records` and `end of records` are made anew from
`records/*.json`, or between `records FOLDER` and `end of records` from `records/FOLDER/*.json`, which `evaluate --json`
wrote. The comment at the head of a recipe ends with what the record of its name says. `test_results.py` holds all
together.
"""

import json
import re
import textwrap
from pathlib import Path

from gen_experiments.evaluation.records import differences
from gen_experiments.reports.evaluations import damage_text

ROOT = Path(__file__).parents[1]
SEEN = "# Seen here, by "
BLOCK = re.compile(r"(<!-- records ?(\w*): python tests/results\.py -->\n).*?(<!-- end of records -->\n)", re.DOTALL)


def pages():
    """Returns the pages that have such tables."""
    found = sorted((ROOT / "configs" / "experiments").glob("*/README.md"))
    return [page for page in found if BLOCK.search(page.read_text(encoding="utf-8"))]


def written(page):
    """Returns the text of a page with its tables made anew."""

    def block(found):
        begin, folder, end = found.groups()
        return f"{begin}\n{tables(page.parent / 'records' / folder)}{end}"

    return BLOCK.sub(block, page.read_text(encoding="utf-8"))


def tables(folder):
    """Returns a table for the records of each protocol, as only these can be compared, and tables by kind of damage."""
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    together = []
    for name, record in records.items():
        alike = (group for group in together if not differences([record, *group.values()]))
        group = next(alike, None)
        if group is None:
            together.append(group := {})
        group[name] = record
    parts = [f"{compared(next(iter(group.values())))}:\n\n{table(rows(group))}\n" for group in together]
    return "".join([*parts, *(by_damage(name, record) for name, record in records.items())])


def compared(record):
    """Returns what the scores of a record are of, against, and by."""
    protocol = record["protocol"]
    reference = protocol["reference"]
    features = f", features {protocol['extractor']} {protocol['weights_sha256'][:8]}" if protocol["extractor"] else ""
    pixels = reference["pixels_sha256"][:8]
    kind = protocol["evaluated"]["kind"]
    return f"{kind} against {reference['count']:,} {reference['split']} images ({pixels}){features}"


def rows(group):
    """Returns the rows of a table of records: records or scores, whichever are more, run down."""
    names = list(dict.fromkeys(name for record in group.values() for name in record["scores"]))
    header = ["recipe", "images seen", "seed", "cost", *names]
    found = [header, *([f"`{name}`", *cells(record, names)] for name, record in group.items())]
    columns = [column for column in zip(*found, strict=True) if any(column[1:])]
    return list(zip(*columns, strict=True)) if len(group) > len(names) else columns


def cells(record, names):
    """Returns the images seen, seed, cost and scores of a record."""
    evaluated = record["protocol"]["evaluated"]
    training = evaluated.get("training")
    how = (str(training["seed"]), cost(training)) if training else ("", "")
    return [f"{evaluated['images_seen']:,}", *how, *(cell(record["scores"], name) for name in names)]


def cost(training):
    """Returns what a training took: a CPU's seconds depend on what else runs there, those of its process less so."""
    if training["device"] == "cpu":
        return f"{training['processor_seconds'] / 60:.1f} processor minutes"
    return f"{training['seconds'] / 60:.1f} minutes of {training['processes']} {training['device']}"


def cell(scores, name):
    """Returns a score, with its interval where it has one."""
    if name not in scores:
        return ""
    found = scores[name]
    return f"{found['value']:.4g}" + (" ({:.4g} to {:.4g})".format(*found["interval"]) if "interval" in found else "")


def by_damage(name, record):
    """Returns the table of a record's kinds of damage, with a line above it; nothing where there are none."""
    kinds = record.get("by_damage", [])
    if not kinds:
        return ""
    names = list(kinds[0]["scores"])
    found = [[damage_text(kind["damage"]), *(cell(kind["scores"], score) for score in names)] for kind in kinds]
    return f"`{name}`, every picture damaged alike:\n\n{table([['damage', *names], *found])}\n"


def recipes(page):
    """Returns the records of a page that have a recipe of their name, each with its recipe."""
    found = {path.stem: path for path in page.parent.rglob("*.yaml")}
    records = sorted((page.parent / "records").rglob("*.json"))
    return [(record, found[record.stem]) for record in records if record.stem in found]


def headed(record, recipe):
    """Returns the text of a recipe whose comment says what the record does."""
    lines = recipe.read_text(encoding="utf-8").splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    begin = next((number for number, line in enumerate(lines[:end]) if line.startswith(SEEN)), end)
    held = json.loads(record.read_text(encoding="utf-8"))
    scores = ", ".join(f"{name} {found['value']:.4g}" for name, found in held["scores"].items())
    images, _, took = cells(held, [])
    took = f", {took}" if took else ""
    text = f"{SEEN}{record.relative_to(ROOT)}: {scores}; {images} images seen{took}."
    seen = textwrap.wrap(text, 130, subsequent_indent="# ", break_on_hyphens=False)
    return "".join([*lines[:begin], *(f"{line}\n" for line in seen), *lines[end:]])


def table(found):
    """Returns rows of cells, the first of them the header, as Markdown."""
    header, *others = found
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, ["---"] * len(header), *others))


def main():
    """Writes all pages."""
    for page in pages():
        page.write_text(written(page), encoding="utf-8")
        for record, recipe in recipes(page):
            recipe.write_text(headed(record, recipe), encoding="utf-8")
        print(f"wrote the tables of {page.relative_to(ROOT)}, and what was seen into its recipes")


if __name__ == "__main__":
    main()
