"""How much memory a model needs, found out before a weight of it is loaded."""
