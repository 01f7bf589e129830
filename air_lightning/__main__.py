"""`python -m air_lightning fit|validate|test|predict ...`."""

import os

# Torch's and numba's threads would spin while they wait for each other; on a busy machine that costs far more than
# waking them. Read when those libraries load, so set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from air_lightning.cli import main

if __name__ == "__main__":
    main()
