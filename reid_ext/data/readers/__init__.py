"""One module per dataset, with its file lists, its cameras and its published counts."""
