"""Letters and exports: one template each in the folder of its language, filled in from the signed record alone."""
