"""The command line: Lightning's, with a folder for every run.

    python -m air_lightning fit --config configs/scenes3d.yaml [--run_dir DIR] [--model.lr 1e-3 ...]
    python -m air_lightning fit --resume --run_dir DIR [--trainer.max_steps 6000 ...]
    python -m air_lightning fit --config configs/scenes3d.yaml --wandb
    python -m air_lightning test --run_dir DIR [--ckpt_path last] [--data.noise 0.1 ...]
    python -m air_lightning validate --run_dir DIR
    python -m air_lightning predict --run_dir DIR --input IMAGES --output OUT
    python -m air_lightning adapt --run_dir DIR --input IMAGES --output OUT
    python -m air_lightning scenes --config FILE --count N --output DIR
    python -m air_lightning export --run_dir DIR --output FILE
    python -m air_lightning downstream --config configs/downstream_sum.yaml --run_dir DIR
    python -m air_lightning report DIR [DIR ...]
    python -m air_lightning sweep FILE --local
    python -m air_lightning plugins
    python -m air_lightning check --renderer CLASS

Later arguments win over earlier ones, and all of them over a run's own config. What a run folder holds is
said in `air_lightning.runs`. Exit status: 0 done; 1 training failed, or something could not be written, on a full disk
for example; 2 wrong arguments, and then no folder was made; 143 stopped by SIGTERM and 130 by Ctrl-C, in fit after
`last.ckpt` was saved; 141 nobody reads what is printed any more.
"""

import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run `python -m air_lightning` with `args` (default: those of the process).

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
        KeyboardInterrupt: Ctrl-C where no training or evaluation heeds it, or SIGTERM in a command of our own.
    """
    if list(sys.argv[1:] if args is None else args) in (["-h"], ["--help"]):
        from air_lightning.cli.help import show_help

        show_help()
    from air_lightning.cli.dispatch import run  # torch and all the rest, when they are wanted

    run(args)
