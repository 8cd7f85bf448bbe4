"""How weight decay must scale: steady states, rules, transfer."""
