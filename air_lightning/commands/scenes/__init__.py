"""`python -m air_lightning scenes`: what a data module draws, written in other programs' formats."""
