"""Views: what people see of a verdict, in report, terminal and MLflow."""
