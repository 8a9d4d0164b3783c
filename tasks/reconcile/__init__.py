"""Reconcile: hold database, S3, MLflow and Prefect against the receipts, repair what is safe, and say the rest."""
