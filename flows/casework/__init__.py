"""The legal life of a request: notices, decisions by people, letters and what is told to whom."""
