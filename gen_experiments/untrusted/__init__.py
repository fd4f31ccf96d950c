"""Files that nobody vouches for: nothing in them is run, and they cannot claim more memory than they fill.

The directory and the headers of a file are checked before memory is allocated for what they announce.

- `torch_files`, `arrays`, `plain_values`: what torch, NumPy and YAML write; `unreadable`: the error of all three;
- `weight_files`: the weights in files of other programs; `file_kinds`: what a file is that holds none.

The classes that a checkpoint names are allowed or refused in `checkpoints.descriptions`.
"""
