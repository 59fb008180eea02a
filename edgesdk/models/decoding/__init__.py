"""From a model's output tensors to boxes, labels and vectors, one module a family of models."""
