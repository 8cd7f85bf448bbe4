"""From a `torch.nn.Module` to an `Architecture`: record, compare sizes, lower, name dimensions, emit."""

from .trace import trace

__all__ = ["trace"]
