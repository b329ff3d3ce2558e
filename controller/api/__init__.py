"""HTTP ingress: one module for each dialect."""
