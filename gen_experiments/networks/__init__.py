"""Networks: tensors in, tensors out; no loss, no optimizer, no logging."""
