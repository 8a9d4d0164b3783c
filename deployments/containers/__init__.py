"""The image, and the servers that the compose file starts around it."""
