"""Published tables as data with their sources; nothing in the engine reads them, tests and comparisons do."""

from .published import PUBLISHED, Published, published

__all__ = ["PUBLISHED", "Published", "published"]
