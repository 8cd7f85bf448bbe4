"""Weight decay: what it must do when a network grows."""
