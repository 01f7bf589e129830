"""The commands besides LightningCLI's own: `python -m air_lightning NAME ...`.

Each lives in a module that has `main(arguments)`, imported when it is called for.
"""

COMMANDS = {
    "downstream": ("air_lightning.downstream.command", "compare inferred objects with pixels"),
    "sweep": ("air_lightning.sweep.command", "many fits, as a W&B sweep file says"),
}
