"""One line: who may write it, what its receipts prove, and the database's rows of it."""
