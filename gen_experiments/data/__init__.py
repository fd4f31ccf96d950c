"""Data: where images come from, decoded once, sharded, shuffled, resumable. `datamodule` is the door.

- `sources`, `pairs`, `pair_folders`: where pictures come from; `folder`, `labels`, `groups`, `division`, `tars`,
  `columns`: what they find there;
- `pictures`, `framing`, `turbo`: from a file to pixels of one size; `depth`, `deep`: of more than 8 bits;
- `opening`, `cache`, `reading`, `crops`, `footprint`: which pixels are decoded once, and which as they are read;
- `sampling`: which images make up a batch;
- `damage`, `damage_parts`, `jpeg`: what damages them;
- `codes`: the codes of a split; `summary`: what a run says before it begins.
"""
