"""How sure a difference of scores is."""
