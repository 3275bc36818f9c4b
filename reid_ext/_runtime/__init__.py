"""What every package of reid_ext uses: libraries, devices, progress, terminal and files."""
