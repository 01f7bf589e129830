"""Images for people: scenes beside their reconstructions, with objects marked or their boxes as data."""
