"""How each family of models is run: one module a family, its libraries imported when a model is loaded."""
