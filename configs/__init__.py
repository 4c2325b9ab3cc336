"""Configurations that come with the library: `<algo>/<env>.yaml`."""
