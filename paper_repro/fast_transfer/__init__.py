"""Figures of fast hyperparameter transfer (Ghosh, Wu and Bietti, arXiv 2512.22768)."""
