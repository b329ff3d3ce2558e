"""The embedded planner: rules and vocabularies, no LLM."""
