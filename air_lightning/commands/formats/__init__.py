"""Other programs' formats, as scenes and predictions are both written in them."""
