"""Mixtures of experts: muP against maximal scale stability."""
