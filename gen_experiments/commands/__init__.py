"""Commands over a checkpoint: plain typed functions."""
