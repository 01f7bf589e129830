"""Reports: one self-contained HTML page about one run, or over several."""
