"""Published tables as data with their sources; nothing in the engine reads them, tests and comparisons do."""

from .experts import JIANG, PublishedMixture, published_mixture
from .published import PUBLISHED, Published, published

__all__ = ["JIANG", "PUBLISHED", "Published", "PublishedMixture", "published", "published_mixture"]
