"""Steps as Prefect runs them, and how far a run is."""
