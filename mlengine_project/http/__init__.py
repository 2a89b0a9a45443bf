"""HTTP as the engine speaks it: protocol, limits, errors, paging, schema."""
