"""The dated snapshot of model facts that ships."""
