"""Pictures with known labels, by which the judges are trained and measured."""
