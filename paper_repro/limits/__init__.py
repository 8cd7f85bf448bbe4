"""Infinite networks beside finite ones."""
