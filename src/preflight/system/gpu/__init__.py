"""GPUs as they are: what the driver, the files and the devices themselves tell."""
