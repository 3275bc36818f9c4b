"""Internals shared by all packages: libraries, arguments, devices, progress, terminal, files."""
