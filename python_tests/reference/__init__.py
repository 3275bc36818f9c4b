"""Independent reference implementations of the papers in plain NumPy and torch.

The tests and `tools/hardening` compare reid_ext with these functions. They do not import reid_ext,
so that both cannot have the same error, and they prefer plain formulas to speed.
"""
