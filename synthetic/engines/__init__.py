"""Who executes a sweep: this machine, or a Ray cluster."""

from .cluster import Ray
from .engine import ENGINES, Engine, Report, find_engine
from .local import Local

__all__ = ["ENGINES", "Engine", "Local", "Ray", "Report", "find_engine"]
