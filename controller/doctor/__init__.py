"""What ``hugginggpt doctor`` looks at: small checks over a view of the machine."""
