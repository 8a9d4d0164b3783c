"""Evidence: one row a judged picture, and the rows of an attack by its budget."""
