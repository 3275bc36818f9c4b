"""One module per dataset: it reads the lists of files, and knows the cameras and counts."""
