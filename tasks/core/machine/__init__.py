"""The machine: its device, its processes, and the rights of a home."""
