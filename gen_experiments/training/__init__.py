"""Training: the parts of which models make their steps.

- `manual`, `optimizers`, `micro_batches`: models that step their own optimizers; `ema`: moving averages;
- `discriminator_loss`: the losses of discriminators; `image_buffer`: earlier images that they see again;
- `batch_norm`: over several processes; `trainer_options`, `data_checks`: what models refuse or ask of Trainer and data.
"""
