"""The base of all tasks: settings, errors, paths and the work order."""
