"""The commands besides LightningCLI's own: `python -m air_lightning NAME ...`.

Each lives in a module that has `main(arguments)`, imported when it is called for.
"""

COMMANDS = {
    "predict": ("air_lightning.predict.command", "what a trained model sees in pictures"),
    "export": ("air_lightning.export.command", "a trained model for other programs: torch.export, ONNX, weights alone"),
    "downstream": ("air_lightning.downstream.command", "compare inferred objects with pixels"),
    "check": ("air_lightning.testing.command", "measure whether a renderer keeps the contract"),
    "plugins": ("air_lightning.plugins.command", "list the plug-ins, built-in and installed"),
    "report": ("air_lightning.report.command", "an HTML page about runs"),
    "sweep": ("air_lightning.sweep.command", "many fits, as a W&B sweep file says"),
}
