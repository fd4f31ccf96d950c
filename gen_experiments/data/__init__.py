"""Data: where images come from, decoded once, sharded, shuffled, resumable."""
