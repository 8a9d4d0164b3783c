"""The shape of a policy: fields, names, contradictions, deadlines and its canonical bytes."""
