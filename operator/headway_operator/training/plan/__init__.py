"""The operator's decisions, pure: no I/O, no clock, no randomness. Everything else feeds this or carries it out."""
