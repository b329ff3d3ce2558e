"""OpenAI's dialect: what its clients ask under ``/v1``, a module for each family of endpoints.

``routes`` is the table of them all. ``model`` is ``hugginggpt`` for the planner, or the id of an expert.
"""
