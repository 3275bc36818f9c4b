"""Faces that other packages' users know, one module per package; import the one you need."""
