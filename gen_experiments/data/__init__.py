"""Data: where images come from, decoded once, sharded, shuffled, resumable. Start with `datamodule`.

- `sources`; `pairs` and `pair_folders`, on `pair_source`: the sources of images; `folder`, `split_folders`, `labels`,
  `groups`, `division`, `proportions`, `tars`, `huggingface_column`: what they find in files;
- `picture_decoding`, `framing`, `fast_decoding`: from a file to pixels of one size; `depth`, `float_planes`: pictures
  of more than 8 bits; `pages`, `undecodable`: files of several pages, and those that cannot be decoded; `model_inputs`:
  pictures that a program hands over;
- `split_opener`, `cache`, `decoded_as_read`, `crops`, `footprint`: pixels that are decoded once, and pixels that are
  decoded when they are read;
- `sampling`: which images make up a batch; `shuffled_pairs`: A and B of different pairs in one;
- `damage`, `damage_parts`, `jpeg`: the damage that a model learns to restore;
- `codes`: the codes of a split; `summary`, `repetitions`: what a run prints before it begins.
"""
