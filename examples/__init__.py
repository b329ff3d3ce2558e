"""Pictures and sounds of the project, served under /examples/."""
