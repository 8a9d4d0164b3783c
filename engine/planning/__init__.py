"""Planning: from a specification to an edit plan."""
