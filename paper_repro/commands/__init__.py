"""What the commands do; `cli` reads their arguments."""
