"""The commands besides LightningCLI's own, a folder or a file each: `main(arguments)` runs one."""
