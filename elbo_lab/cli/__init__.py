"""The command line: a thin layer over the registries and `compare`."""
