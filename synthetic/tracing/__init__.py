"""From a `torch.nn.Module` to an `Architecture`: record, compare sizes, lower, name dimensions, emit."""

from .trace import Traced, trace

__all__ = ["Traced", "trace"]
