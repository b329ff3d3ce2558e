"""Web links: the one guarded way out, and the readable text of pages."""
