"""The commands besides LightningCLI's own: `python -m air_lightning NAME ...`.

Each lives in a module of `air_lightning.commands` that has `main(arguments)`, imported when it is called for.
"""

SUBCOMMANDS = {  # of LightningCLI's; `predict` is a command of our own
    "fit": "train; every run has a folder",
    "validate": "evaluate a trained model on the validation scenes",
    "test": "evaluate a trained model on held-out scenes",
}

COMMANDS = {
    "predict": ("air_lightning.commands.predict.command", "what a trained model sees in images"),
    "adapt": ("air_lightning.commands.adapt", "a trained model for images that its renderer did not draw"),
    "scenes": ("air_lightning.commands.scenes.command", "what a data module draws, as files for other programs"),
    "export": (
        "air_lightning.commands.export.command",
        "a trained model for other programs: torch.export, ONNX, weights alone",
    ),
    "downstream": ("air_lightning.commands.downstream.command", "compare inferred objects with pixels"),
    "check": ("air_lightning.commands.check", "measure whether a renderer keeps the contract"),
    "plugins": ("air_lightning.commands.plugins", "list the plug-ins, built-in and installed"),
    "report": ("air_lightning.commands.report.command", "an HTML page about runs"),
    "reproduce": ("air_lightning.commands.reproduce.command", "an experiment over its seeds, and its table of results"),
    "sweep": ("air_lightning.commands.sweep.command", "many fits, as a W&B sweep file says"),
}
