"""Checkpoints: what one is, and the way from a file to a model.

1. `paths`: which file a path names: a checkpoint, the best one of a run, or the folder of an export (`exports`).
2. `loading`: its contents are read as tensors and plain values alone; what is missing is said in one line.
3. `descriptions`: the class that it names is imported if it is allowed, and built by the arguments beside it, which
   `arguments` has kept of the model that was saved.
4. `size_limit`: what is built meanwhile cannot be much larger than the weights.
5. `loading`: the weights are loaded if they are exactly those of the model.

`transfer` loads what fits of another model's weights, or of another project's, whose names are known from `layouts`.
"""
