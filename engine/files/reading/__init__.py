"""Strict readers of files from outside: JSON, configurations and the headers of safetensors."""
