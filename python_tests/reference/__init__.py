"""Independent reference implementations, written from the papers in plain NumPy and torch.

The tests and `tools/hardening` compare reid_ext with these functions. They import nothing of
reid_ext, so that an error there cannot hide here, and they favour plain formulas over speed.
"""
