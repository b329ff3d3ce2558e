"""What exists: task types, model cards and their ranking. Neither Ray nor torch is imported here."""
