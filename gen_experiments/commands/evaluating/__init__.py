"""The parts of `evaluate`, some of which `compare` and `stats` use too.

- `protocol`: the options of an evaluation;
- `inputs`, `model_images`, `sides`: what is compared: what the names given to the commands stand for, the images of a
  model, the two sides;
- `passes`: the extractors, and the features of one pass of each;
- `reconstructed`: what a model makes of images, and the scores of pairs and of codes;
- `by_damage`, `copies`: further scores: of each kind of damage, and of samples too near to training images;
- `printed`: the table of a record.
"""
