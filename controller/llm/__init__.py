"""The LLM brain: plans, answers, and what both are told."""
