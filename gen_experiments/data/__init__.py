"""Data: where images come from, decoded once, sharded, shuffled, resumable. Start with `datamodule`.

- `sources`, `pairs`, `pair_folders`: the sources of images; `folder`, `labels`, `groups`, `division`, `levels`, `tars`,
  `columns`: what they find in files;
- `pictures`, `framing`, `turbo`: from a file to pixels of one size; `depth`, `float_planes`: pictures of more than 8
  bits; `pages`, `refused`: files of several pages, and those that cannot be decoded; `given`: pictures that a program
  hands over;
- `opening`, `cache`, `reading`, `crops`, `footprint`: pixels that are decoded once, and pixels that are decoded when
  they are read;
- `sampling`: which images make up a batch;
- `damage`, `damage_parts`, `jpeg`: the damage that a model learns to restore;
- `codes`: the codes of a split; `summary`: what a run prints before it begins.
"""
