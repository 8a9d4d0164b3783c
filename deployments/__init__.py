"""Where the flows run: the local stack and the settings of larger places."""
