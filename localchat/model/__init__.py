"""The decoder: what it is made of (spec, families), how it computes (rope, decoder), how it comes to memory (load)."""
