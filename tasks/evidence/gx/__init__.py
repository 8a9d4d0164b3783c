"""Great Expectations: what the gate expects of the evidence, and how that is checked and shown."""
