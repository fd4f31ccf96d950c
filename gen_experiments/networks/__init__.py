"""Networks: tensors in, tensors out; no loss, no optimizer, no logging.

- `base`: the contracts; `blocks`, `conditioning`: what several networks are made of;
- `autoencoder`, `deep_autoencoder`: encoders and decoders;
- `generators`, `discriminators`, `resnet`, `r3gan`: the networks of GANs; `patch`, `projected`: further discriminators;
  `augment`: the augmentation of their inputs;
- `unet`, `drunet`, `resnet_translator`, `munit`: images to images; `projector`: features for CUT's contrast;
- `transformer`: the network of priors.
"""
