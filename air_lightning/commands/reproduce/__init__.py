"""An experiment over its seeds, and its section of a page of results."""
